"""Drives the official unified Python client (Data API v2, streams, wallets) like `clob.py` drives the order client.

Answers are {"ok": value} or {"error": {"status": number|null, "text": string}}.
"""

import asyncio
import dataclasses
import json
import sys

from polymarket.clients.async_public import AsyncPublicClient
from polymarket.clients.async_secure import AsyncSecureClient
from polymarket.auth import BuilderApiKey
from polymarket.environments import PRODUCTION, _create_environment
from polymarket.streams import MarketSpec, UserSpec


def plain(value):
    """Models as JSON values."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


class Driver:
    def __init__(self):
        self.streams = {}

    async def connect(self, urls):
        """The production environment (chain, contracts) at other addresses."""
        config = dataclasses.replace(PRODUCTION._config, **urls)
        self.environment = _create_environment(name="simulated", config=config)
        self.public = AsyncPublicClient(environment=self.environment)
        return True

    async def login(self, key, wallet, builder=None):
        builder = BuilderApiKey(**builder) if builder else None
        self.secure = await AsyncSecureClient.create(
            private_key=key, wallet=wallet, environment=self.environment, api_key=builder)
        return {"wallet": self.secure.wallet, "type": self.secure.wallet_type}

    async def place(self, token, side, price, size, postOnly=False):
        order = await self.secure.place_limit_order(
            token_id=token, side=side, price=price, size=size, post_only=postOnly)
        return plain(order)

    async def cancel(self, id):
        return plain(await self.secure.cancel_order(order_id=id))

    async def account(self, what, **given):
        return plain(await getattr(self.secure, what)(**given))

    async def open_orders(self):
        return [plain(order) async for order in self.secure.list_open_orders().iter_items()]

    async def watch_market(self, name, tokens):
        self.streams[name] = await self.public.subscribe(MarketSpec(asset_ids=tokens, custom_feature_enabled=True))
        return True

    async def watch_user(self, name):
        self.streams[name] = await self.secure.subscribe(UserSpec())
        return True

    async def next(self, name, seconds):
        """The next event of a stream; null after so many seconds without one."""
        try:
            event = await asyncio.wait_for(self.streams[name].__anext__(), seconds)
        except TimeoutError:
            return None
        return {"type": type(event).__name__, "event": plain(event)}

    async def list(self, what, first=100, **given):
        """The first rows of a paged list of the public client."""
        rows = []
        async for row in getattr(self.public, what)(**given).iter_items():
            rows.append(plain(row))
            if len(rows) == first:
                break
        return rows

    async def get(self, what, **given):
        return plain(await getattr(self.public, what)(**given))


async def answer(driver, line):
    command = json.loads(line)
    try:
        return {"ok": await getattr(driver, command.pop("call"))(**command)}
    except Exception as error:
        return {"error": {"status": getattr(error, "status", None), "text": f"{type(error).__name__}: {error}"}}


async def main():
    driver = Driver()
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(driver, line), default=str), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
