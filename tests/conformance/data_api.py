#!/usr/bin/env python3
"""The official unified Python client reads the simulator's Data API v2 and Gamma.

    python3 -m venv target/witness
    target/witness/bin/pip install polymarket-client==0.14.0
    target/witness/bin/python tests/conformance/data_api.py target/release/slipstream

Starts `slipstream simulator`, lets two wallets trade through its control API, and compares what the client makes of
the answers with what was traded. Exits with 1 at the first difference. Needs no network.
"""

import dataclasses
import json
import subprocess
import sys
import urllib.request
from decimal import Decimal

from polymarket import PublicClient
from polymarket.environments import PRODUCTION, _create_environment
from polymarket.errors import PolymarketError

CONDITION = "0x" + "c0" * 32
YES, NO = str(int("10" * 32, 16)), str(int("11" * 32, 16))
LEADER, OTHER = "0x" + "33" * 20, "0x" + "44" * 20


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: the client read {found!r}, expected {expected!r}")
    print(f"ok: {what}")


class Simulator:
    def __init__(self, binary):
        arguments = [binary, "simulator", "--block-ms", "0"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.urls = json.loads(self.process.stdout.readline())

    def control(self, path, body=None):
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(self.urls["control"] + path, data=data)
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def trade(self, number, wallet, side, price, shares, maker=False):
        fill = {"wallet": wallet, "token": YES, "side": side, "price": price, "shares": shares, "maker": maker}
        self.control("/trades", {"tx_hash": "0x" + f"{number:02x}" * 32, "fills": [fill]})
        self.control("/mine")

    def client(self):
        config = dataclasses.replace(
            PRODUCTION._config,
            clob_url=self.urls["clob"],
            data_url=self.urls["data"],
            gamma_url=self.urls["gamma"],
            rpc_url=self.urls["rpc"],
        )
        return PublicClient(_create_environment(name="simulator", config=config))


def rows(paginator):
    return [row for page in paginator for row in page.items]


def scene(simulator):
    market = {
        "condition": CONDITION, "tokens": [YES, NO], "tick": "0.01", "min_size": "5", "title": "Will it hold?",
        "slug": "will-it-hold", "event_slug": "holding", "end_date": "2026-12-31T00:00:00Z",
    }
    simulator.control("/markets", market)
    levels = {"token": YES, "bids": [{"price": "0.5", "shares": "1000"}], "asks": []}
    simulator.control("/levels", levels)
    simulator.control("/knobs", {"data_lag_ms": 0})
    simulator.control("/profiles", {"wallet": LEADER, "profile": {"name": "leader", "created_at": 1700000000}})
    simulator.trade(1, LEADER, "BUY", "0.4", 100)
    simulator.trade(2, LEADER, "SELL", "0.6", 40)
    simulator.trade(3, OTHER, "BUY", "0.5", 10, maker=True)


def feeds(client):
    trades = rows(client.list_trades(user=LEADER, page_size=1))
    same("trades, a page each", [(row.side, row.size, row.price) for row in trades],
         [("SELL", Decimal(40), Decimal("0.6")), ("BUY", Decimal(100), Decimal("0.4"))])
    same("takers only by default", rows(client.list_trades(user=OTHER)), [])
    same("makers when asked", len(rows(client.list_trades(user=OTHER, taker_only=False))), 1)
    activity = rows(client.list_activity(user=LEADER, full_history=True))
    same("activity", [(row.type.value, row.amount) for row in activity],
         [("TRADE", Decimal(24)), ("TRADE", Decimal(40))])


def portfolio(client):
    position = rows(client.list_positions(user=LEADER))[0]
    same("position", (position.current_size, position.avg_price, position.status.value, position.asset_id),
         (Decimal(60), Decimal("0.4"), "OPEN", YES))
    same("profit", (position.realized_pnl, position.unrealized_pnl, position.total_pnl),
         (Decimal(8), Decimal(6), Decimal(14)))
    same("positions of a market", len(rows(client.list_positions(condition_id=CONDITION))), 2)
    same("value", client.get_portfolio_value(user=LEADER).value, Decimal(30))
    same("user stats", client.get_user_stats(user=LEADER).traded_market_count, 1)
    same("stats of a stranger", client.get_user_stats(user="0x" + "55" * 20), None)
    same("volume", client.get_user_volume(user=LEADER, full_history=True).volume_usdc, Decimal(64))
    series = client.get_user_pnl(user=LEADER, interval="1w", fidelity="1h")
    last = series.points[-1]
    same("profit over time", (series.interval.value, last.trade_count, last.realized_pnl, last.volume_usdc),
         ("1w", 2, Decimal(8), Decimal(64)))
    holders = rows(client.list_market_holders(condition_ids=CONDITION))
    same("holders", [holder.amount for holder in holders[0].holders], [Decimal(60), Decimal(10)])


def leaders(client):
    entries = rows(client.list_trader_leaderboard(window="all", page_size=1))
    same("leaderboard", [(entry.rank, entry.wallet.lower()) for entry in entries], [(1, LEADER), (2, OTHER)])
    same("user name", entries[0].user_name, "leader")
    standing = client.get_trader_leaderboard_standing(user=OTHER, window="all")
    same("standing", (standing.pnl_rank, standing.volume_rank), (2, 2))
    same("no standing", client.get_trader_leaderboard_standing(user="0x" + "55" * 20), None)


def reference(client):
    token = client.get_token_references(asset_ids=YES)[0]
    same("token", (token.outcome, token.opposite_asset_id, token.resolved), ("Yes", NO, False))
    same("open interest", client.get_open_interests(condition_ids=CONDITION)[0].value, Decimal(70))
    event = rows(client.list_events())[0].id
    volume = client.get_event_live_volume(event_ids=int(event))
    same("volume of an event", (volume.taker_volume_total, [market.taker_volume for market in volume.markets]),
         (Decimal(150), [Decimal(150)]))
    same("no winners yet", rows(client.list_biggest_winners(window="all")), [])
    approvals = client.get_trading_approvals_state(wallet=LEADER)
    same("nothing approved", (approvals.is_fully_approved, len(approvals.missing.erc20), len(approvals.missing.erc1155)),
         (False, 7, 10))
    same("unresolved", client.get_resolutions(condition_ids=CONDITION)[0].status.value, "initialized")


def gamma(client):
    market = rows(client.list_markets(page_size=1))[0]
    same("market", (market.slug, market.outcomes.yes.token_id, market.outcomes.yes.label),
         ("will-it-hold", YES, "Yes"))
    same("by slug", client.get_market(slug="will-it-hold").id, market.id)
    same("by id", client.get_market(id=market.id).condition_id, CONDITION)
    event = rows(client.list_events())[0]
    same("event", (event.slug, len(event.markets)), ("holding", 1))
    found = next(iter(client.search(q="hold", search_profiles=True))).items[0]
    same("search", (len(found.events), len(found.profiles)), (1, 0))
    found = next(iter(client.search(q="lead", search_profiles=True))).items[0]
    same("search for a person", found.profiles[0].wallet.lower(), LEADER)
    same("profile", client.get_public_profile(LEADER).name, "leader")


def resolved(simulator, client):
    simulator.control("/resolve", {"condition": CONDITION, "payouts": ["1", "0"], "redeem": {"wallets": [LEADER]}})
    simulator.control("/mine")
    same("redemption", rows(client.list_activity(user=LEADER))[0].type.value, "REDEEM")
    same("closed", len(rows(client.list_positions(user=LEADER, status="CLOSED"))), 1)
    same("redeemable", len(rows(client.list_positions(user=OTHER, status="REDEEMABLE"))), 1)
    winners = rows(client.list_biggest_winners(window="all"))
    same("winners", [(one.rank, one.wallet.lower(), one.pnl, one.initial_value, one.asset_id) for one in winners],
         [(1, LEADER, Decimal(44), Decimal(40), YES), (2, OTHER, Decimal(5), Decimal(5), YES)])
    same("payouts", client.get_resolutions(condition_ids=CONDITION)[0].payouts, (Decimal(1), Decimal(0)))


def faults(simulator, client):
    simulator.control("/faults", {"target": "data", "kind": "500_before"})
    try:
        client.get_portfolio_value(user=LEADER)
    except PolymarketError:
        print("ok: a failing service is an error")
    else:
        sys.exit("a failing service: the client saw no error")


def main():
    simulator = Simulator(sys.argv[1])
    try:
        scene(simulator)
        with simulator.client() as client:
            for part in (feeds, portfolio, leaders, reference, gamma):
                part(client)
            resolved(simulator, client)
            faults(simulator, client)
    finally:
        simulator.process.terminate()
        simulator.process.wait()


if __name__ == "__main__":
    main()
