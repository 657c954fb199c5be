"""The shop as a Restate worker: ``hypercorn engines.served:app``."""

from __future__ import annotations

import os
from pathlib import Path

from engines.shop import Shop
from holdfast.engines import restate

ingress = os.environ["SHOP_INGRESS"].split()
engine = restate.RestateEngine(*ingress) if ingress else None
shop = Shop(Path(os.environ["SHOP_HOME"]), os.environ["SHOP_URL"], engine)
app = restate.app(shop.ledger, look_every=os.environ["SHOP_LOOK_EVERY"])
