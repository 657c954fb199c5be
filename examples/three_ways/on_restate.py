# on_restate.py
from app import ledger
from holdfast.engines import restate

app = restate.app(ledger)
