"""What can be bought, where, and what is left: types, places, images, prices, and the balance to pay with."""

from berth.faces.verda.catalogue.routes import ROUTES

__all__ = ["ROUTES"]
