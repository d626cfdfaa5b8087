"""Drives the official Python client: one JSON command per line in, one JSON answer per line out.

Answers are {"ok": value} or {"error": {"status": number|null, "text": string, "retryAfter": string|null}}.
"""

import dataclasses
import json
import logging
import sys

from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    ApiCreds, BalanceAllowanceParams, BookParams, BuilderConfig, BuilderTradeParams, MarketOrderArgsV2, OpenOrderParams, OrderArgsV2,
    OrderMarketCancelParams, OrderPayload, PartialCreateOrderOptions, PostOrdersV2Args, TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.http_helpers import helpers
from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
from py_clob_client_v2.utilities import parse_raw_orderbook_summary

logging.disable(logging.CRITICAL)

# The client tells no headers: what its own transport was told when to come back.
retry_after = [None]
helpers._http_client.event_hooks = {
    "response": [lambda reply: retry_after.__setitem__(0, reply.headers.get("retry-after"))],
}


class Driver:
    def __init__(self):
        self.orders = {}

    def connect(self, **settings):
        self.settings = settings
        self.client = self._client(settings["host"])
        return True

    def _client(self, host, creds=None):
        """A client with everything but its host and its credentials as they were given."""
        given = self.settings
        builder = given.get("builder")
        return ClobClient(
            host, chain_id=given["chain"], key=given["key"], creds=creds, signature_type=given.get("signatureType"),
            funder=given.get("funder"), builder_config=BuilderConfig(builder_code=builder) if builder else None)

    def login(self):
        creds = self.client.create_or_derive_api_key()
        self.client.set_api_creds(creds)
        return creds.api_key

    def create_key(self):
        """Creates credentials and does not go on to deriving them when that is refused."""
        return self.client.create_api_key().api_key

    def host(self, host):
        """Posts through `host` from now on, with the same credentials."""
        creds: ApiCreds = self.client.creds
        self.client = self._client(host, creds)
        return True

    def _keep(self, name, order):
        self.orders[name] = order
        values = dataclasses.asdict(order) if dataclasses.is_dataclass(order) else vars(order)
        return {field: str(int(value) if isinstance(value, int) else value) for field, value in values.items()}

    def sign(self, name, token, price, size, side, expiration=0, options=None):
        given = OrderArgsV2(token_id=token, price=price, size=size, side=side, expiration=expiration or 0)
        version = (options or {}).get("version")
        if version == 3:
            given = OrderArgsV2(position_id=token, price=price, size=size, side=side, expiration=expiration or 0)
        return self._keep(name, self.client.create_order(given, PartialCreateOrderOptions(version=version)))

    def sign_market(self, name, token, amount, side, price, orderType, options=None):
        version = (options or {}).get("version")
        named = {"position_id": token} if version == 3 else {"token_id": token}
        given = MarketOrderArgsV2(amount=amount, side=side, price=price, order_type=orderType, **named)
        return self._keep(name, self.client.create_market_order(given, PartialCreateOrderOptions(version=version)))

    def post(self, name, orderType, postOnly=False, deferExec=False):
        return self.client.post_order(self.orders[name], orderType, postOnly, deferExec)

    def post_changed(self, name, orderType, owner=None, changes=None):
        """Posts what the client makes of an order with other words in it: another owner, fields of the order (None leaves one out)."""
        body = order_to_json_v2(self.orders[name], owner or self.client.creds.api_key, orderType, False, False)
        for field, value in (changes or {}).items():
            if value is None:
                del body["order"][field]
            else:
                body["order"][field] = value
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        headers = self.client._l2_headers("POST", "/order", body=body, serialized_body=text)
        return self.client._post(f"{self.client.host}/order", headers=headers, data=text)

    def post_many(self, names, orderType, postOnly=False, deferExec=False):
        given = [PostOrdersV2Args(order=self.orders[name], orderType=orderType) for name in names]
        return self.client.post_orders(given, postOnly, deferExec)

    def cancel(self, id):
        return self.client.cancel_order(OrderPayload(orderID=id))

    def cancel_many(self, ids):
        return self.client.cancel_orders(ids)

    def cancel_all(self):
        return self.client.cancel_all()

    def cancel_market(self, market=None, token=None):
        return self.client.cancel_market_orders(OrderMarketCancelParams(market=market, asset_id=token))

    def readonly_create(self):
        return self.client.create_readonly_api_key()

    def readonly_keys(self):
        return self.client.get_readonly_api_keys()

    def readonly_delete(self, key):
        return self.client.delete_readonly_api_key(key)

    def builder_create(self):
        return self.client.create_builder_api_key()

    def builder_keys(self):
        return self.client.get_builder_api_keys()

    def builder_revoke(self):
        return self.client.revoke_builder_api_key()

    def order(self, id):
        return self.client.get_order(id)

    def open_orders(self, market=None, token=None):
        return self.client.get_open_orders(OpenOrderParams(market=market, asset_id=token))

    def trades(self, **filter):
        return self.client.get_trades(TradeParams(**filter))

    def first_open_orders(self):
        return self.client.get_open_orders(only_first_page=True)

    def trades_page(self, cursor=None, **filter):
        return self.client.get_trades_paginated(TradeParams(**filter), cursor)

    def builder_trades(self, builder, cursor=None):
        return self.client.get_builder_trades(BuilderTradeParams(builder_code=builder), cursor)

    def heartbeat(self, id):
        return self.client.post_heartbeat(id)

    def balance(self, assetType, token=None):
        return self.client.get_balance_allowance(BalanceAllowanceParams(asset_type=assetType, token_id=token))

    def update_balance(self, assetType, token=None):
        self.client.update_balance_allowance(BalanceAllowanceParams(asset_type=assetType, token_id=token))
        return True

    def closed_only(self):
        return self.client.get_closed_only_mode()

    def version(self):
        return self.client.get_version()

    def time(self):
        return self.client.get_server_time()

    def book(self, token):
        return self.client.get_order_book(token)

    def books(self, tokens):
        return self.client.get_order_books([BookParams(token_id=token, side="BUY") for token in tokens])

    def book_hash(self, token):
        """The hash that the venue named and the one that the client computes."""
        book = self.client.get_order_book(token)
        return [book["hash"], self.client.get_order_book_hash(parse_raw_orderbook_summary(book))]

    def midpoint(self, token):
        return self.client.get_midpoint(token)

    def spread(self, token):
        return self.client.get_spread(token)

    def price(self, token, side):
        return self.client.get_price(token, side)

    def last_trade_price(self, token):
        return self.client.get_last_trade_price(token)

    def tick_size(self, token):
        return self.client.get_tick_size(token)

    def neg_risk(self, token):
        return self.client.get_neg_risk(token)

    def market(self, market):
        return self.client.get_market(market)

    def market_info(self, market):
        return self.client.get_clob_market_info(market)

    def markets(self):
        return self.client.get_markets()


def answer(driver, line):
    command = json.loads(line)
    retry_after[0] = None
    try:
        return {"ok": getattr(driver, command.pop("call"))(**command)}
    except PolyApiException as error:
        text = error.error_msg.get("error", error.error_msg) if isinstance(error.error_msg, dict) else error.error_msg
        return {"error": {"status": error.status_code, "text": str(text), "retryAfter": retry_after[0]}}
    except Exception as error:
        return {"error": {"status": None, "text": str(getattr(error, "msg", error))}}


if __name__ == "__main__":
    driver = Driver()
    for line in sys.stdin:
        print(json.dumps(answer(driver, line), default=str), flush=True)
