"""A mail whose acceptance is lost, found again by its Message-ID.

python examples/reconcile/smtp_message_id.py

SMTP has no idempotency keys, but a mail has a Message-ID, which its sender may choose. It is made from the
effect's key, so that whoever looks into the mailbox later finds this mail and no other.
"""

import logging
import mailbox
import smtplib
import socketserver
import tempfile
from email.message import EmailMessage
from pathlib import Path

from _lost_answer import Wire, serving

from holdfast import Effect, SyncLedger
from holdfast.errors import OutcomeUnknown
from holdfast.reconcilers import by_key

logging.getLogger("holdfast").setLevel(logging.ERROR)
QUEUE: list[bytes] = []  # at the mail server: accepted, to be delivered in a moment


class MailServer(socketserver.StreamRequestHandler):
    """The part of SMTP (RFC 5321) that it takes to accept a mail."""

    def handle(self) -> None:
        self.reply("220 mail.example ready")
        while line := self.rfile.readline():
            match line.split()[0].upper():
                case b"DATA":
                    self.reply("354 go ahead")
                    QUEUE.append(self.message())
                    self.reply("250 accepted")
                case b"QUIT":
                    return self.reply("221 bye")
                case _:
                    self.reply("250 ok")
        return None

    def message(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line.removeprefix(b".") for line in lines)

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def deliver(box: mailbox.Maildir) -> None:
    while QUEUE:
        box.add(QUEUE.pop(0))


def message_id(idem_key: str) -> str:
    return f"<{idem_key}@agent.example>"


def main(home: Path) -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer)
    wire = Wire(server.server_address)
    box = mailbox.Maildir(home / "sent", create=True)

    def find_mails(idem_key: str) -> list[str]:
        return [mail["Message-ID"] for mail in box if mail["Message-ID"] == message_id(idem_key)]

    def send(to: str, subject: str, effect: Effect) -> str:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "agent@agent.example", to, subject
        mail["Message-ID"] = message_id(effect.idem_key)
        mail.set_content("Your order is on its way.")
        with smtplib.SMTP(*wire.address, timeout=10) as client:
            client.send_message(mail)
        return mail["Message-ID"]

    with serving(server), serving(wire), SyncLedger("memory://") as ledger:
        # Mail may come late, and the mailbox is emptied once a month: in between, absence is evidence.
        find = by_key(find_mails, lag="1d", kept_for="30d")
        tool = ledger.tool("mail.send", timeout="30s", retry=False, reconcile=find)(send)
        mail = {"to": "customer@shop.example", "subject": "Order 123"}

        wire.cut_after(b"\r\n.\r\n")  # the end of the mail: what follows is the server's "accepted"
        try:
            tool.run("order-123", **mail)
        except smtplib.SMTPServerDisconnected as error:
            print("the answer was lost:", type(error).__name__)
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        try:
            tool.run("order-123", **mail)
        except OutcomeUnknown:
            print("the same call again: no mail yet, which proves nothing yet")

        deliver(box)
        found = tool.run("order-123", **mail)
        print("the same call again:", "the mail is there" if found else "no mail")
        print("the ledger says:", ledger.effects()[0].state)
        print("mails in the mailbox:", len(box))


with tempfile.TemporaryDirectory() as directory:
    main(Path(directory))
