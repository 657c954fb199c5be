"""A mail cannot be unsent: when the order fails, a second mail follows it up, in reply to the first, once.

python examples/compensate/follow_up_message.py

The mail server is a real one as far as its client can tell: SMTP, on this machine. It keeps each mail as a
file in ``inbox``. The follow-up's Message-ID is made of its effect's key, so that it can be looked for.
"""

import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage, Message
from pathlib import Path

from _stage import SOON, show, stage, worst_moment

from holdfast import Effect, Permanent, SyncLedger, Undone
from holdfast.errors import EffectFailed
from holdfast.reconcilers import by_key


class MailServer(socketserver.StreamRequestHandler):
    """The part of SMTP (RFC 5321) that it takes to accept a mail."""

    inbox: Path

    def handle(self) -> None:
        self.reply("220 mail.example ready")
        while line := self.rfile.readline():
            match line.split()[0].upper():
                case b"DATA":
                    self.reply("354 go ahead")
                    lines = iter(self.rfile.readline, b".\r\n")
                    mail = b"".join(line.removeprefix(b".") for line in lines)
                    (self.inbox / f"{len(mails(self.inbox)) + 1}.eml").write_bytes(mail)
                    self.reply("250 accepted")
                case b"QUIT":
                    return self.reply("221 bye")
                case _:
                    self.reply("250 ok")
        return None

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server(inbox: Path) -> Iterator[tuple[str, int]]:
    inbox.mkdir(exist_ok=True)
    MailServer.inbox = inbox
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


def mails(inbox: Path) -> list[Message]:
    return [message_from_bytes(file.read_bytes()) for file in sorted(inbox.glob("*.eml"))]


def message_id(idem_key: str) -> str:
    return f"<{idem_key[:32]}@shop.example>"  # half of it is unique, and fits on a line


def main(home: Path) -> None:
    inbox = home / "inbox"

    def send(mail: EmailMessage, effect: Effect) -> str:
        mail["From"], mail["Message-ID"] = "shop@shop.example", message_id(effect.idem_key)
        with smtplib.SMTP(*server, timeout=10) as client:
            client.send_message(mail)
        return mail["Message-ID"]

    def find_mails(idem_key: str) -> list[str]:
        return [mail["Message-ID"] for mail in mails(inbox) if mail["Message-ID"] == message_id(idem_key)]

    with mail_server(inbox) as server, SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON) as ledger:

        @ledger.tool("mail.follow_up", reconcile=by_key(find_mails))
        def follow_up(undone: Undone, effect: Effect) -> str:
            mail = EmailMessage()
            mail["To"], mail["Subject"] = undone.args["to"], f"Re: Order {undone.args['order']} is confirmed"
            mail["In-Reply-To"] = mail["References"] = undone.result
            mail.set_content("We are sorry: it is sold out after all. You will not be charged.")
            sent = send(mail, effect)
            worst_moment("the follow-up is in the inbox, the ledger does not know it")
            return sent

        @ledger.tool("mail.confirm", reconcile=by_key(find_mails), compensate=follow_up)
        def confirm(to: str, order: str, effect: Effect) -> str:
            mail = EmailMessage()
            mail["To"], mail["Subject"] = to, f"Order {order} is confirmed"
            mail.set_content("Thank you! It will be on its way soon.")
            return send(mail, effect)

        @ledger.tool("warehouse.ship")
        def ship(order: str) -> None:
            raise Permanent(f"order {order}: sold out")

        confirm.run("order-123", to="ada@home.example", order="123")
        try:
            ship.run("order-123", order="123")
        except (Permanent, EffectFailed):
            print("the order failed after its confirmation was sent")
            show(ledger.compensate("order-123", reason="sold out"))

    print("mails in the inbox:", len(mails(inbox)))
    first, *others = mails(inbox)
    for mail in others:
        print(mail["Subject"], "- a reply to the first:", mail["In-Reply-To"] == first["Message-ID"])


with stage() as directory:
    main(directory)
