"""The shop as a Restate worker: ``hypercorn engines.served:app``."""

from __future__ import annotations

import os
from pathlib import Path

from engines.shop import Shop
from holdfast.engines import restate

shop = Shop(Path(os.environ["SHOP_HOME"]), os.environ["SHOP_URL"])
app = restate.app(shop.ledger, look_every=os.environ["SHOP_LOOK_EVERY"])
