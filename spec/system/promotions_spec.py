"""A promotion of the admin API from end to end, through NGINX: made, seen in a cart, scheduled away, and rolled back."""
import unittest

from support.door import api, must, new_key
from support.shop import cart, live_with, owner, product, put_promotion, remove_promotion
from support.stack import main


def offer(code, **more):
    return {"definition": {"doc": "A tenth off.", "coupon": code, "actions": [{"type": "order_percent", "value": 10}], **more},
            "reason": "spec"}


class APromotion(unittest.TestCase):
    def setUp(self):
        self.name, self.code = "spec_" + new_key()[:8], "SPEC-" + new_key()[:8]
        self.before = api("GET", "/rules/promotions", token=owner()).headers["ETag"]
        self.addCleanup(remove_promotion, self.name)

    def discount(self, shopping):
        """What the code takes off the cart; None where it is refused."""
        path = f"/carts/{shopping['id']}"
        entered = api("POST", path + "/coupons", {"code": self.code}, key=new_key())
        if entered.status == 422:
            return None
        return must(200, "GET", path)["totals"]["discount"]["amount"]

    def test_changes_the_price_of_a_cart_and_is_undone(self):
        shopping = cart(2, product())
        self.assertIsNone(self.discount(shopping))
        tag = put_promotion(self.name, offer(self.code))
        self.assertEqual(self.discount(shopping), 200)

        put_promotion(self.name, offer(self.code, starts_at="2099-01-01T00:00:00Z"), tag)
        self.assertEqual(must(200, "GET", f"/carts/{shopping['id']}")["totals"]["discount"]["amount"], 0)
        self.assertIsNone(self.discount(cart(2, product())))

        must(201, "POST", "/rules/rollback", {"reason": "spec"}, owner(), new_key())
        live_with(tag)
        self.assertEqual(must(200, "GET", f"/carts/{shopping['id']}")["totals"]["discount"]["amount"], 200)

        remove_promotion(self.name)
        self.assertEqual(api("GET", "/rules/promotions", token=owner()).headers["ETag"], self.before)


if __name__ == "__main__":
    main()
