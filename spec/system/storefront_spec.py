"""The shop's pages as a browser without JavaScript sees them: looked at, filled in and sent, from outside."""
import html
import html.parser
import http.client
import http.cookies
import re
import unittest
import urllib.parse
import uuid
import xml.etree.ElementTree

from support.door import SHOP, ask, must, new_key
from support.shop import new_product, owner
from support.stack import count, main

OURS = {"Sec-Fetch-Site": "same-origin"}
ADDRESS = {"email": "ann@example.com", "name": "Ann Example", "line1": "1 High Road", "line2": "", "city": "London",
           "region": "", "postcode": "N1 1AA", "country": "GB", "phone": ""}


class Forms(html.parser.HTMLParser):
    """The forms of a page: {action: {name: value}} of what a browser would send untouched."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.fields = {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        at = dict(attributes)
        if tag == "form":
            self.fields = self.forms.setdefault(at.get("action"), {})
        elif tag == "input" and self.fields is not None and at.get("name"):
            if at.get("type") not in ("radio", "checkbox") or "checked" in at:
                self.fields.setdefault(at["name"], at.get("value", ""))


class Browser:
    """Keeps cookies by path, follows redirects, sends forms as our own pages do."""

    def __init__(self, language="en"):
        self.cookies, self.language, self.text, self.path, self.status = {}, language, "", "/", 0

    def _cookies(self, path):
        return "; ".join(f"{name}={value}" for (name, at), value in self.cookies.items()
                         if path == at or path.startswith(at.rstrip("/") + "/"))

    def _keep(self, headers):
        for line in headers.get_all("Set-Cookie") or []:
            for name, cookie in http.cookies.SimpleCookie(line).items():
                self.cookies[(name, cookie["path"])] = cookie.value
                if cookie["max-age"] == "0":
                    del self.cookies[(name, cookie["path"])]

    def go(self, path, form=None, headers=()):
        """Status of the page that this leads to."""
        sent = {"Cookie": self._cookies(path.split("?")[0]), "Accept-Language": self.language, "Accept": "text/html", **OURS, **dict(headers)}
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        reply = ask("POST" if form is not None else "GET", path, body, sent)
        self._keep(reply.headers)
        if reply.status == 303:
            return self.go(reply.headers["Location"])
        self.text, self.path, self.status, self.headers = reply.text, path, reply.status, reply.headers
        return reply.status

    def send(self, action, **changed):
        """Sends the page's form with that action, with some fields filled in."""
        return self.go(action, {**Forms(self.text).forms[action], **changed})

    def says(self, kind="notice"):
        return [html.unescape(each) for each in re.findall(rf'<p class="{kind}"[^>]*>([^<]*)', self.text)]

    def title(self):
        return html.unescape(re.search("<h1>([^<]*)", self.text).group(1))

    def put_in_cart(self, sku, quantity=1):
        self.go("/products/" + sku)
        return self.send("/cart/lines", quantity=str(quantity))

    def to_review(self, card="4242424242424242"):
        """From a cart to the last page before buying, by a card."""
        self.go("/checkout")
        self.send("/checkout", **ADDRESS)
        self.send("/checkout/shipping", method=re.search('name="method" value="([^"]+)"', self.text).group(1))
        return self.pay_with(card)

    def pay_with(self, card):
        return self.send("/checkout/card", number=card, exp_month="12", exp_year="2031", cvc="123")


class Purchase(unittest.TestCase):
    def setUp(self):
        self.sku = new_product(250, 50)
        self.browser = Browser()

    def test_a_guest_buys_and_is_led_to_his_order(self):
        shopper = self.browser
        self.assertEqual(shopper.put_in_cart(self.sku, 2), 200)
        self.assertTrue(shopper.says()[0].startswith("In your cart: "))
        shopper.go("/cart")
        self.assertIn("£5.00", shopper.text)
        self.assertEqual(shopper.to_review(), 200)
        total = Forms(shopper.text).forms["/checkout/review"]["total"]
        self.assertEqual(shopper.send("/checkout/review"), 200)
        self.assertEqual(shopper.says(), ["Thank you! Your order is placed."])
        self.assertRegex(shopper.title(), r"^Order \d+$")
        self.assertIn(f"£{int(total) / 100:.2f}", shopper.text)
        self.assertIn("Paid", shopper.text)

    def test_a_gift_card_pays_a_part_or_all_of_it_and_its_code_is_not_shown(self):
        shopper = self.browser
        for amount, asks_for_card in ((100, True), (100000, False)):
            gift = must(201, "POST", "/gift-cards", {"amount": {"amount": amount, "currency": "GBP"}}, owner(), new_key())["items"][0]
            shopper.put_in_cart(self.sku, 2)
            shopper.go("/cart")
            self.assertEqual(shopper.send("/cart/gift-cards", code=gift["code"]), 200)
            self.assertEqual(shopper.says(), ["The gift card pays a part of it."])
            self.assertIn("ends in " + gift["last4"], shopper.text)
            self.assertNotIn(gift["code"], shopper.text + shopper.path)
            shopper.go("/checkout")
            shopper.send("/checkout", **ADDRESS)
            shopper.send("/checkout/shipping", method=re.search('name="method" value="([^"]+)"', shopper.text).group(1))
            self.assertEqual("/checkout/card" in Forms(shopper.text).forms, asks_for_card)
            self.assertEqual(shopper.pay_with("4242424242424242") if asks_for_card else shopper.go("/checkout/review"), 200)
            self.assertEqual(shopper.send("/checkout/review"), 200)
            self.assertEqual(shopper.says(), ["Thank you! Your order is placed."])
            self.assertIn("Paid by gift card", shopper.text)
        shopper.put_in_cart(self.sku)
        shopper.go("/cart")
        self.assertEqual(shopper.send("/cart/gift-cards", code="0000-0000-0000-0000"), 422)
        self.assertEqual(shopper.says("trouble"), ["There is no gift card with this code"])

    def test_nobody_else_sees_that_order(self):
        self.browser.put_in_cart(self.sku)
        self.browser.to_review()
        self.browser.send("/checkout/review")
        self.assertEqual(Browser().go(self.browser.path), 404)

    def test_the_form_sent_twice_is_one_order(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review()
        form, cookies = Forms(shopper.text).forms["/checkout/review"], dict(shopper.cookies)
        shopper.go("/checkout/review", form)
        first, shopper.cookies = shopper.path.split("?")[0], cookies
        shopper.go("/checkout/review", form)
        self.assertEqual(shopper.path.split("?")[0], first)

    def test_the_way_back_after_buying_leads_to_the_order(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review()
        cookies = dict(shopper.cookies)
        shopper.send("/checkout/review")
        order, shopper.cookies = shopper.path.split("?")[0], {**shopper.cookies, **cookies}
        for page in ("/checkout", "/checkout/payment", "/checkout/review"):
            shopper.cookies.update(cookies)
            self.assertEqual(shopper.go(page), 200)
            self.assertEqual(shopper.path, order)

    def test_a_declined_card_is_told_and_another_one_pays_the_same_order(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review("4000000000000002")
        shopper.send("/checkout/review")
        self.assertEqual(shopper.path, "/checkout/payment?notice=declined")
        self.assertIn("declined the card", shopper.says("trouble")[0])
        shopper.pay_with("4242424242424242")
        shopper.send("/checkout/review")
        self.assertEqual(shopper.says(), ["Thank you! Your order is placed."])

    def test_another_total_than_was_shown_buys_nothing_and_shows_the_right_one(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review()
        self.assertEqual(shopper.send("/checkout/review", total="1"), 409)
        self.assertTrue(shopper.says("trouble"))
        self.assertNotEqual(Forms(shopper.text).forms["/checkout/review"]["total"], "1")
        self.assertEqual(shopper.send("/checkout/review"), 200)
        self.assertEqual(shopper.says(), ["Thank you! Your order is placed."])

    def test_an_order_can_be_cancelled_from_its_page(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review()
        shopper.send("/checkout/review")
        shopper.send(shopper.path.split("?")[0] + "/cancel")
        self.assertEqual(shopper.says(), ["The order is cancelled."])

    def test_a_step_that_is_missing_is_asked_for(self):
        shopper = self.browser
        self.assertEqual((shopper.go("/checkout/review"), shopper.path), (200, "/cart?notice=cart_empty"))
        shopper.put_in_cart(self.sku)
        for page in ("/checkout/shipping", "/checkout/payment", "/checkout/review"):
            shopper.go(page)
            self.assertEqual(shopper.path, "/checkout")

    def test_what_is_wrong_is_told_by_field_and_what_was_typed_stays(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.go("/checkout")
        self.assertEqual(shopper.send("/checkout", **{**ADDRESS, "email": "nobody", "city": ""}), 422)
        self.assertIn('id="email-wrong"', shopper.text)
        self.assertIn('value="1 High Road"', shopper.text)
        shopper.go("/cart")
        self.assertEqual(shopper.send("/cart/coupons", code="<b>NOPE"), 422)
        self.assertIn('value="&lt;b&gt;NOPE"', shopper.text)

    def test_a_card_that_is_mistyped_is_told_without_its_digits(self):
        shopper = self.browser
        shopper.put_in_cart(self.sku)
        shopper.to_review("4242424242424241")
        self.assertIn("check digit", shopper.says("trouble")[0])
        self.assertNotIn("4242424242424241", shopper.text + shopper.path)

    def test_more_than_there_is_stays_in_the_cart_with_the_reason(self):
        shopper = self.browser
        shopper.go("/products/" + self.sku)
        self.assertIn(shopper.send("/cart/lines", quantity="0"), (422,))
        shopper.put_in_cart(self.sku, 49)
        shopper.go("/cart")
        shopper.send("/cart/lines/" + self.sku, quantity="60")
        self.assertTrue(shopper.says("trouble"), shopper.text)


class Account(unittest.TestCase):
    def test_a_new_customer_keeps_his_cart_and_his_card(self):
        shopper, sku = Browser(), new_product(300, 50)
        shopper.put_in_cart(sku)
        shopper.go("/sign-in?goto=/cart")
        shopper.send("/register", name="Bea", email=f"bea-{uuid.uuid4().hex}@example.com", password="correct horse")
        self.assertEqual(shopper.says(), ["Your account is made. Welcome!"])
        self.assertIn("£3.00", shopper.text)
        shopper.to_review()
        shopper.send("/checkout/review")
        shopper.put_in_cart(sku)
        shopper.go("/checkout")
        shopper.send("/checkout", **ADDRESS)
        shopper.send("/checkout/shipping", method=re.search('name="method" value="([^"]+)"', shopper.text).group(1))
        self.assertIn("Visa ending in 4242", shopper.text)
        shopper.send("/checkout/payment")
        shopper.send("/checkout/review")
        self.assertEqual(shopper.says(), ["Thank you! Your order is placed."])
        shopper.go("/orders")
        self.assertEqual(len(re.findall(r">Order \d+<", shopper.text)), 2)
        shopper.send("/sign-out")
        shopper.go("/orders")
        self.assertIn("Sign in to see your orders", shopper.text)

    def signed_in(self):
        """A browser whose access token has run out, and its way back in."""
        shopper = Browser()
        shopper.go("/sign-in")
        shopper.send("/register", name="Bea", email=f"bea-{uuid.uuid4().hex}@example.com", password="correct horse")
        self.assertIn("/sign-out", shopper.text)
        del shopper.cookies[("fastr_token", "/")]
        return shopper

    def test_two_tabs_whose_time_ran_out_come_back_both(self):
        shopper = self.signed_in()
        cookies = dict(shopper.cookies)
        for _ in range(2):
            shopper.cookies = {**shopper.cookies, **cookies}
            shopper.cookies.pop(("fastr_token", "/"), None)
            shopper.go("/orders")
            self.assertIn("/sign-out", shopper.text)
        del shopper.cookies[("fastr_token", "/")]
        shopper.go("/orders")
        self.assertIn("/sign-out", shopper.text)

    def test_who_comes_back_by_a_page_that_is_not_there_stays_signed_in(self):
        shopper = self.signed_in()
        before = shopper.cookies[("fastr_refresh", "/")]
        self.assertEqual(shopper.go("/products/NO-SUCH-SKU"), 404)
        self.assertNotEqual(shopper.cookies[("fastr_refresh", "/")], before)
        self.assertIn(("fastr_token", "/"), shopper.cookies)

    def test_a_picture_that_is_loaded_late_brings_nobody_back_and_leaves_no_cookie(self):
        shopper = self.signed_in()
        before = shopper.cookies[("fastr_refresh", "/")]
        shopper.go("/products")
        shopper.cookies = {("fastr_refresh", "/"): before}
        picture = html.unescape(re.search('src="(/art/[^"]+)"', shopper.text).group(1))
        reply = ask("GET", picture, None, {"Cookie": "fastr_refresh=" + before})
        self.assertEqual((reply.status, reply.headers["Set-Cookie"]), (200, None))

    def test_a_wrong_password_counts_for_the_visitors_address_and_not_for_the_balancers(self):
        door = http.client.HTTPConnection(SHOP.hostname, SHOP.port, timeout=30, source_address=("127.0.0.9", 0))
        form = urllib.parse.urlencode({"email": f"nobody-{uuid.uuid4().hex}@example.com", "password": "wrong"})
        door.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded", **OURS})
        self.assertEqual(door.getresponse().status, 422)
        door.close()
        self.assertEqual(count("select count(*) from auth.failures where subject = 'address:127.0.0.9'"), 1)

    def test_a_wrong_password_is_told_and_leads_nowhere_else(self):
        shopper = Browser()
        shopper.go("/sign-in?goto=//evil.example")
        self.assertEqual(Forms(shopper.text).forms["/sign-in"]["goto"], "/")
        self.assertEqual(shopper.send("/sign-in", email="nobody@example.com", password="wrong"), 422)
        self.assertIn('value="nobody@example.com"', shopper.text)


class Doors(unittest.TestCase):
    def test_a_form_from_elsewhere_changes_nothing(self):
        shopper, sku = Browser(), new_product(100, 5)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "http://evil.example"}):
            sent = {name: value for name, value in headers.items() if value}
            reply = ask("POST", "/cart/lines", f"sku={sku}&quantity=1",
                        {"Content-Type": "application/x-www-form-urlencoded", **sent})
            self.assertEqual(reply.status, 403)
            self.assertIsNone(reply.headers["Set-Cookie"])
        self.assertEqual(shopper.go("/cart"), 200)
        self.assertIn("empty", shopper.text)

    def test_a_form_that_no_page_of_ours_sends_is_told_what_is_wrong(self):
        shopper, sku = Browser(), new_product(100, 5)
        for quantity in ("nan", "inf", "-inf", "0x2", "1e999", "9" * 40, "", "1.5"):
            self.assertEqual(shopper.go("/cart/lines", {"sku": sku, "quantity": quantity}), 422, quantity)
        for action, form in (("/cart/coupons", {"remove": "1"}), ("/cart/lines", {}), ("/cart/lines/" + sku, {}),
                             ("/checkout/review", {"total": "nan"}), ("/sign-in", {}), ("/register", {})):
            self.assertLess(shopper.go(action, form), 500, action)

    def test_a_form_that_is_too_large_for_a_form_is_not_read(self):
        for path in ("/sign-in", "/cart/lines", "/checkout/card"):
            form = "&".join(f"{i:x}=1" for i in range(4000))
            reply = ask("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded", **OURS})
            self.assertEqual(reply.status, 413, path)

    def test_a_cookie_that_is_no_cart_is_passed_by(self):
        for cookie in ("A.1", "../../users/me.1", "A" * 23 + ".2", "A" * 22 + ".x", ".", "A" * 22 + ".1"):
            self.assertEqual(ask("GET", "/cart", None, {"Cookie": "fastr_cart=" + cookie}).status, 200, cookie)

    def test_pages_run_no_script_but_ours_and_cookies_are_no_scripts(self):
        reply = ask("GET", "/")
        self.assertIn("default-src 'none'", reply.headers["Content-Security-Policy"])
        self.assertNotIn("unsafe", reply.headers["Content-Security-Policy"])
        shopper = Browser()
        shopper.go("/products/" + new_product(100, 5))
        form = urllib.parse.urlencode(Forms(shopper.text).forms["/cart/lines"])
        reply = ask("POST", "/cart/lines", form, {"Content-Type": "application/x-www-form-urlencoded", **OURS})
        for cookie in reply.headers.get_all("Set-Cookie"):
            self.assertRegex(cookie, "HttpOnly; SameSite=Lax")

    def test_what_people_type_is_never_markup(self):
        shopper = Browser()
        shopper.go("/products?" + urllib.parse.urlencode({"q": '"><script>alert(1)</script>'}))
        self.assertNotIn("<script>", shopper.text)
        name = '<img src=x onerror=alert(1)> "spec"'
        shopper.go("/products/" + new_product(100, 5, name=name))
        self.assertEqual(shopper.title(), name)
        shopper.go("/?notice=added&about=%3Cscript%3E")
        self.assertNotIn("<script>", shopper.text)

    def test_what_is_not_there_is_a_page_too(self):
        shopper = Browser()
        for path in ("/nothing", "/products/NO-SUCH-SKU", "/orders/" + str(uuid.uuid4()), "/orders/x",
                     "/assets/shop.000000000000.css", "/products/%00", "/cart/lines", "/internal/order/of_cart",
                     "/metrics", "/healthz", "/art/../internal"):
            self.assertIn(shopper.go(path), (400, 404, 405, 422), path)
            self.assertNotIn("Traceback", shopper.text)
        self.assertEqual(ask("GET", "/nothing").code, "not_found")
        self.assertEqual(shopper.go("/nothing"), 404)
        self.assertEqual(shopper.title(), "That did not work")

    def test_it_speaks_german_to_who_asks_for_it_or_chooses_it(self):
        shopper = Browser("de-DE,de;q=0.9")
        shopper.go("/cart")
        self.assertIn("Ihr Warenkorb ist leer.", shopper.text)
        shopper.go("/language", {"language": "en", "goto": "/cart"})
        self.assertIn("Your cart is empty.", shopper.text)
        self.assertIn('<html lang="en">', shopper.text)

    def test_pictures_and_style_are_kept_for_good_under_the_name_of_their_content(self):
        shopper = Browser()
        shopper.go("/products")
        for address in (re.search('href="(/assets/[^"]+)"', shopper.text), re.search('src="(/art/[^"]+)"', shopper.text)):
            reply = ask("GET", html.unescape(address.group(1)))
            self.assertEqual(reply.status, 200)
            self.assertIn("immutable", reply.headers["Cache-Control"])
        xml.etree.ElementTree.fromstring(reply.text)
        self.assertEqual(ask("GET", "/art/00000000.svg?name=x").status, 404)

    def test_every_product_of_a_page_can_be_opened(self):
        shopper = Browser()
        shopper.go("/products?in_stock=true&sort=price")
        links = re.findall('<a href="(/products/[^"?]+)"', shopper.text)
        self.assertEqual(len(links), 24)
        self.assertIn('rel="next"', shopper.text)
        for link in links[:6]:
            self.assertEqual(shopper.go(html.unescape(link)), 200)


if __name__ == "__main__":
    main()
