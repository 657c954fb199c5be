"""The application that the workers load: ``holdfast worker app:ledger``. ``$SOAK`` says where it is, and of which kind."""

from __future__ import annotations

import json
import os
from typing import Any

import flows
import plain_flows
from outside import Outside
from terms import SETTINGS, Trouble

from holdfast import Ledger, SyncLedger

TOLD: dict[str, Any] = json.loads(os.environ["SOAK"])
OUTSIDE = Outside(TOLD["directory"])
ledger: Ledger | SyncLedger
if TOLD["face"] == "async":
    ledger = Ledger(TOLD["url"], settings=SETTINGS)
    flows.declare(ledger, OUTSIDE, Trouble(), has_timetable=TOLD["has_timetable"])
else:
    ledger = SyncLedger(TOLD["url"], settings=SETTINGS)
    plain_flows.declare(ledger, OUTSIDE, Trouble(), has_timetable=TOLD["has_timetable"])
