#!/usr/bin/env python3
"""Makes `recorded.jsonl.gz`, the tape that the demo plays, from recorded public trades.

    python3 make_tape.py FOLDER

FOLDER holds the recorded files named in `SEGMENTS`. The tape and the counts in `PROVENANCE.md` are written
beside this script. The result depends on the input alone: no clock, no randomness, gzip time 0.

What it never does: copy a field that is not a market or chain fact, or invent a trade. What it must assume
(opening balances, the winner of a redemption) is marked, see `PROVENANCE.md`.
"""

import csv
import gzip
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

TAPE_MS = 1_800_000  # length of the tape's timeline
LONGEST_GAP_MS = 60_000  # longer silences inside a segment are cut to this
MICRO = Decimal("0.000001")
LARGEST_TAPE = 120_000  # bytes, compressed

# Outcome index by label, for the two sources that record the label alone.
LABEL_INDEX = {"Up": 0, "Down": 1, "Yes": 0, "No": 1, "token1": 0, "token2": 1}


@dataclass(frozen=True)
class Row:
    """One recorded fill or redemption; `side`, `token` and `outcome` are None on a redemption."""

    time: int  # Unix seconds
    wallet: str
    condition: str
    tx: str
    qty: Decimal  # shares
    side: str | None = None
    token: str | None = None
    outcome: int | None = None
    label: str | None = None
    price: Decimal | None = None  # dollars per share
    usd: Decimal | None = None  # dollars paid out, redemptions only
    slug: str | None = None
    title: str | None = None
    doubtful: bool = False  # the source contradicts itself about this fill's side


@dataclass(frozen=True)
class Segment:
    """One source and its place on the timeline: it starts at `start_ms` and takes at most `room_ms`."""

    name: str
    source: str
    start_ms: int
    room_ms: int
    load: object  # (folder, Counter) -> every row of the source, oldest first
    choose: object  # (rows, Counter) -> the rows that go on the tape


def require(condition, message):
    """Stops with a message; unlike `assert` it also works under `python3 -O`."""
    if not condition:
        sys.exit(f"make_tape: {message}")


def read_json(path):
    """Reads JSON, gzipped or not, with exact decimals."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


# ---- sources

def data_api_row(raw):
    """A row of the Data API's /trades or /activity; None for other kinds of activity than these two."""
    common = dict(
        time=int(raw["timestamp"]), wallet=raw["proxyWallet"].lower(), condition=raw["conditionId"],
        tx=raw["transactionHash"], qty=raw["size"], slug=raw["slug"], title=raw["title"],
    )
    kind = raw.get("type", "TRADE")
    if kind == "REDEEM":
        return Row(**common, usd=raw["usdcSize"])
    if kind != "TRADE":
        return None
    return Row(**common, side=raw["side"], token=raw["asset"], outcome=int(raw["outcomeIndex"]),
               label=raw["outcome"], price=raw["price"])


def load_data_api(*names):
    """Loads Data API files, newest row first as served; a fill that several files know counts once."""

    def load(folder, counts):
        rows, earlier = [], set()
        for name in names:
            part = [row for row in map(data_api_row, reversed(read_json(folder / name))) if row]
            counts["rows in the recorded files"] += len(part)
            # Only across files: within one file equal (tx, token) may be several fills.
            new = [row for row in part if (row.tx, row.token) not in earlier]
            counts["the same fill in the second file"] += len(part) - len(new)
            earlier |= {(row.tx, row.token) for row in part}
            rows += new
        return sorted(rows, key=lambda row: row.time)

    return load


def load_session(folder, counts):
    """Loads the captured session; it has no outcome index, so the label gives it."""
    raws = read_json(folder / "captured_session_2026-08-19.json")["events"]
    counts["rows in the recorded files"] = len(raws)
    rows = [
        Row(time=int(raw["source_ts_ms"]) // 1000, wallet=raw["trader"], condition=raw["market_id"],
            tx=raw["tx_hash"], qty=raw["size"], side=raw["side"], token=raw["token_id"],
            outcome=LABEL_INDEX.get(raw["outcome"]), label=raw["outcome"], price=raw["price"],
            slug=raw["slug"], title=raw["title"])
        for raw in raws
    ]
    return sorted(rows, key=lambda row: row.time)


def load_chain_2023(folder, counts):
    """Loads the 2023 fills without copies.

    Some name several wallets, all with the same side. A fill has a buyer and a seller, so one of them is
    wrong, and nothing in the file says which: doubtful.
    """
    with gzip.open(folder / "onchain_trades_2023_round_trips.csv.gz", "rt", newline="") as file:
        raws = list(csv.DictReader(file))
    counts["rows in the recorded files"] = len(raws)
    dated = [raw for raw in raws if not raw["traded_at"].startswith("1970")]
    counts["copies with a 1970 time"] = len(raws) - len(dated)
    fills = {(raw["trade_id"], raw["wallet"].lower()): raw for raw in dated}
    counts["further copies"] = len(dated) - len(fills)
    wallets = Counter(trade_id for trade_id, _ in fills)
    rows = [
        Row(time=int(datetime.fromisoformat(raw["traded_at"]).timestamp()), wallet=wallet,
            condition=raw["condition_id"], tx="0x" + raw["tx_hash"], qty=Decimal(raw["size"]),
            side=raw["side"], token=raw["token_id"], outcome=LABEL_INDEX[raw["outcome_label"]],
            label=raw["outcome_label"], price=Decimal(raw["price"]), doubtful=wallets[trade_id] > 1)
        for (trade_id, wallet), raw in fills.items()
    ]
    counts["fills that name several wallets"] = sum(row.doubtful for row in rows)
    return sorted(rows, key=lambda row: row.time)


# ---- selection: whole (wallet, condition) histories

def market_start(row):
    """The start time of a five-minute market, from its slug."""
    return int(row.slug.rsplit("-", 1)[1])


def choose_markets(first, last):
    """Takes every row of the five-minute markets that start from `first` to `last`."""

    def choose(rows, counts):
        chosen = [row for row in rows if first <= market_start(row) <= last]
        # Pages that overlap repeat rows; whether a repeat is a second fill cannot be told, so none is taken.
        require(len(set(chosen)) == len(chosen), "the chosen markets hold repeated rows")
        return chosen

    return choose


def choose_wallets(*wallets):
    """Takes every row of the named wallets."""
    return lambda rows, counts: [row for row in rows if row.wallet in wallets]


def choose_round_trips(*wallets):
    """Takes histories without doubtful fills in which a recorded buy comes before a sell of the same token."""

    def choose(rows, counts):
        histories = defaultdict(list)
        for row in rows:
            histories[row.wallet, row.condition].append(row)
        chosen = []
        for (wallet, _), history in histories.items():
            bought, exits = set(), 0
            for row in history:
                exits += row.side == "SELL" and row.token in bought
                if row.side == "BUY":
                    bought.add(row.token)
            if wallet in wallets and exits and not any(row.doubtful for row in history):
                counts["sells after a recorded buy of the same token"] += exits
                chosen += history
        return sorted(chosen, key=lambda row: row.time)

    return choose


SEGMENTS = [
    Segment(
        "btc-5m-2026-05-22",
        "MFLakatos/polymarket_bot_and_analysis_v2 @ a4ce4df7daba, "
        "data/wallets/0x4766.../polymarket_data.json (Data API /trades and /activity)",
        0, TAPE_MS,
        load_data_api("data_api_trades_0x476639d9.json", "data_api_activity_0x476639d9.json"),
        choose_markets(1779438300, 1779443700),
    ),
    Segment(
        "btc-eth-5m-2026-02-27",
        "ent0n29/polybot @ 51e5362f026a, research/museumofbees/all_trades.json (Data API /trades)",
        10_000, TAPE_MS - 10_000,
        load_data_api("data_api_trades_0x61276aba.json.gz"),
        choose_markets(1772157300, 1772159100),
    ),
    Segment(
        "burst-2026-08-19",
        "pranay123-stack/polymarket-copy-trading-hft-rust @ 3aaf1c72c30b, tests/fixtures/session.json",
        420_000, 60_000,
        load_session,
        choose_wallets(
            "0xeb6f3b008fb1601c0cc9ed57ceb56c9e6f9e5597", "0x335ac48637a3bc37c2eac9e0c9799c32b3cda494",
            "0x48e5f228090d2cee24365759928ecbbaad1ba482", "0xa8b782992899fb6ce275366e1f77a8d83044a8f9",
            "0xc9d5c96655e50b63b0c4a2c08d65ac63a5df1bf4",
        ),
    ),
    Segment(
        "burst-2026-02-07",
        "borat14011-sudo/wom-polymarket-strategy @ 90077dca9b0d, data_api_trades.json (Data API /trades)",
        1_080_000, 60_000,
        load_data_api("data_api_trades_global_2026-02-07.json"),
        choose_wallets(
            "0x375499e08332a8fc9cd47f71ef2a904478f12d4e", "0x204f72f35326db932158cba6adff0b9a1da95e14",
            "0xc9f1a2824c4dbb68111e36d46efa403d8b777a64",
        ),
    ),
    Segment(
        "round-trips-2023",
        "a public data set of trades decoded from V1 OrderFilled logs (name not kept with the recording)",
        0, TAPE_MS,
        load_chain_2023,
        choose_round_trips(
            "0x3cf3e8d5427aed066a7a5926980600f6c3cf87b3", "0x89f756113e5fc5eda3d2d480e960f71bff71caa9",
        ),
    ),
]


# ---- building

def winners(rows):
    """The winning outcome per (wallet, condition), where exactly one outcome's net bought size was redeemed."""
    net, redeemed = defaultdict(Decimal), defaultdict(list)
    for row in rows:
        if row.side is None:
            redeemed[row.wallet, row.condition].append(row)
        else:
            net[row.wallet, row.condition, row.outcome] += row.qty if row.side == "BUY" else -row.qty
    found = {}
    for (wallet, condition), redemptions in redeemed.items():
        fits = [o for o in (0, 1) if net[wallet, condition, o] == redemptions[0].qty]
        if len(redemptions) == 1 and len(fits) == 1:
            found[wallet, condition] = fits[0]
    return found


def place(rows, segment):
    """The rows' times on the tape in ms: gaps over a minute cut, the whole scaled down if it does not fit."""
    elapsed = [0]
    for before, after in zip(rows, rows[1:]):
        elapsed.append(elapsed[-1] + min((after.time - before.time) * 1000, LONGEST_GAP_MS))
    span = max(elapsed[-1], segment.room_ms)
    return [segment.start_ms + ms * segment.room_ms // span for ms in elapsed]


def openings(rows):
    """The smallest opening balance per (wallet, token) that keeps every recorded sell possible."""
    balance, lowest = defaultdict(Decimal), defaultdict(Decimal)
    example = {}
    for row in rows:
        key = row.wallet, row.token
        balance[key] += row.qty if row.side == "BUY" else -row.qty
        lowest[key] = min(lowest[key], balance[key])
        example.setdefault(key, row)
    return [(example[key], -low) for key, low in lowest.items() if low < 0]


def decimal_text(value):
    """A decimal as text, at most 6 places, no exponent."""
    return format(value.quantize(MICRO).normalize(), "f")


def size_text(value):
    """A size as text; the chain counts in micro shares, so a finer one would be a broken record."""
    require(value == value.quantize(MICRO), f"size {value} has more than 6 decimals")
    return decimal_text(value)


def seconds(ms):
    """Milliseconds as a JSON number of seconds."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


class Tape:
    """Collects the segments; numbers wallets and markets in order of play."""

    def __init__(self):
        self.timed = []  # (ms, segment, order, row, opening balance or None)
        self.segments, self.markets, self.winners = [], {}, {}
        self.counts = []  # per segment: what was read, taken, left out

    def add(self, segment, folder):
        """Loads one segment, takes its selection and puts it on the timeline."""
        counts = Counter()
        everything = segment.load(folder, counts)
        self.winners |= winners(everything)
        chosen = segment.choose(everything, counts)
        rows = [row for row in chosen if row.side or (row.wallet, row.condition) in self.winners]
        counts["redemptions left out: winner ambiguous"] = len(chosen) - len(rows)
        counts["rows taken"] = len(rows)
        counts["of them with a price rounded to 6 decimals"] = sum(
            row.price != row.price.quantize(MICRO) for row in rows if row.price is not None)
        index = len(self.segments)
        times = place(rows, segment)
        first = {}
        for order, (ms, row) in enumerate(zip(times, rows)):
            first.setdefault(row.wallet, ms)
            self.timed.append((ms, index, order, row, None))
        for row, qty in openings([row for row in rows if row.side]):
            self.timed.append((first[row.wallet], index, -1, row, qty))
        self.add_markets(segment, everything, {row.condition for row in rows})
        self.segments.append({"name": segment.name, "source": segment.source,
                              "from": rows[0].time, "to": rows[-1].time})
        self.counts.append(counts)

    def add_markets(self, segment, everything, conditions):
        """Makes the markets from all rows of the source: another wallet's row may know the second token."""
        for row in everything:
            if row.condition not in conditions or row.token is None:
                continue
            market = self.markets.setdefault(row.condition, {
                "condition": row.condition, "tokens": [None, None], "outcomes": [None, None],
                "slug": row.slug, "title": row.title, "segment": segment.name,
            })
            require(market["segment"] == segment.name, f"condition {row.condition} is in two segments")
            require(market["tokens"][row.outcome] in (None, row.token), f"two tokens for one outcome: {row}")
            market["tokens"][row.outcome] = row.token
            market["outcomes"][row.outcome] = row.label

    def lines(self):
        """The header and the events, in play order."""
        # Every opening comes before its wallet's first event: same time and segment, lower order.
        self.timed.sort(key=lambda entry: entry[:3])
        wallets = list(dict.fromkeys(entry[3].wallet for entry in self.timed))
        conditions = list(dict.fromkeys(entry[3].condition for entry in self.timed))
        yield {"tape": 1, "wallets": wallets, "markets": [self.markets[c] for c in conditions],
               "segments": self.segments}
        for ms, segment, _, row, opening in self.timed:
            where = {"seg": segment, "w": wallets.index(row.wallet), "m": conditions.index(row.condition)}
            yield self.event(seconds(ms), row, opening, where)

    def event(self, at, row, opening, where):
        """One line of the tape."""
        if opening is not None:
            return {"k": "open", "at": at, **where, "o": row.outcome, "qty": size_text(opening),
                    "prov": "derived"}
        recorded = {"at": at, "recorded_at": row.time, **where}
        if row.side is None:
            return {"k": "redeem", **recorded, "qty": size_text(row.qty), "usd": size_text(row.usd),
                    "winner": self.winners[row.wallet, row.condition], "tx": row.tx, "prov": "recorded"}
        return {"k": "trade", **recorded, "o": row.outcome, "side": row.side, "px": decimal_text(row.price),
                "qty": size_text(row.qty), "tx": row.tx, "prov": "recorded"}


# ---- checking what was written

KEYS = {
    "trade": "k at recorded_at seg w m o side px qty tx prov",
    "redeem": "k at recorded_at seg w m qty usd winner tx prov",
    "open": "k at seg w m o qty prov",
}
MARKET_KEYS = "condition tokens outcomes slug title segment"
HASH = re.compile(r"0x[0-9a-f]{64}")
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
TOKEN = re.compile(r"[1-9][0-9]{0,77}")
AMOUNT = re.compile(r"[0-9]+(\.[0-9]{1,6})?")


def check_header(header):
    """Addresses, ids and the absence of any other field."""
    require(list(header) == ["tape", "wallets", "markets", "segments"] and header["tape"] == 1, "header")
    require(6 <= len(header["wallets"]) <= 12, "number of wallets")
    require(all(ADDRESS.fullmatch(wallet) for wallet in header["wallets"]), "wallet address")
    names = [segment["name"] for segment in header["segments"]]
    for market in header["markets"]:
        require(list(market) == MARKET_KEYS.split(), "market keys")
        require(HASH.fullmatch(market["condition"]) and market["segment"] in names, f"market {market}")
        require(len(market["tokens"]) == len(market["outcomes"]) == 2 and any(market["tokens"]), f"market {market}")
        for token, label in zip(market["tokens"], market["outcomes"]):
            require((token is None) == (label is None), f"label without token: {market}")
            require(token is None or (isinstance(token, str) and TOKEN.fullmatch(token)),
                    f"token {token} is no decimal string")
    tokens = [token for market in header["markets"] for token in market["tokens"] if token]
    require(len(set(tokens)) == len(tokens), "one token in two markets")


def check_event(event, header):
    """The shape and the value ranges of one event."""
    where = f"event {event}"
    require(list(event) == KEYS[event["k"]].split(), f"keys of {where}")
    require(0 <= event["at"] * 1000 <= TAPE_MS and round(event["at"], 3) == event["at"], f"time of {where}")
    require(0 <= event["w"] < len(header["wallets"]) and 0 <= event["m"] < len(header["markets"]), where)
    segment = header["segments"][event["seg"]]
    market = header["markets"][event["m"]]
    require(market["segment"] == segment["name"], f"segment of {where}")
    require(AMOUNT.fullmatch(event["qty"]) and Decimal(event["qty"]) > 0, f"size of {where}")
    require(market["tokens"][event["winner" if event["k"] == "redeem" else "o"]], f"token of {where}")
    require(event["prov"] == ("derived" if event["k"] == "open" else "recorded"), f"provenance of {where}")
    if event["k"] == "open":
        return
    require(HASH.fullmatch(event["tx"]), f"transaction of {where}")
    require(segment["from"] <= event["recorded_at"] <= segment["to"], f"recorded time of {where}")
    if event["k"] == "trade":
        require(event["side"] in ("BUY", "SELL"), f"side of {where}")
        require(AMOUNT.fullmatch(event["px"]) and 0 < Decimal(event["px"]) < 1, f"price of {where}")
    else:
        require(event["usd"] == event["qty"], f"a winning share pays one dollar: {where}")


def check_history(events):
    """Order in time, balances never negative, openings first, nothing after a redemption."""
    balance, started, redeemed, recorded = defaultdict(Decimal), set(), {}, defaultdict(int)
    latest = 0
    for event in events:
        require(event["at"] >= latest, f"time runs back at {event}")
        require(event["at"] - latest <= 30, f"more than 30 s of silence before {event}")
        latest = event["at"]
        require(event["m"] not in redeemed, f"event after the redemption of its market: {event}")
        wallet, qty = event["w"], Decimal(event["qty"])
        if event["k"] == "open":
            require(wallet not in started, f"opening after its wallet's first event: {event}")
            balance[wallet, event["m"], event["o"]] += qty
            continue
        started.add(wallet)
        require(event["recorded_at"] >= recorded[event["seg"]], f"recorded time runs back at {event}")
        recorded[event["seg"]] = event["recorded_at"]
        if event["k"] == "redeem":
            require(balance[wallet, event["m"], event["winner"]] == qty, f"redeemed is not what was held: {event}")
            redeemed[event["m"]] = True
            continue
        key = wallet, event["m"], event["o"]
        balance[key] += qty if event["side"] == "BUY" else -qty
        require(balance[key] >= 0, f"negative balance at {event}")
    require(latest > 1700, "the tape ends early")


def check(data):
    """Reads the finished tape back and holds it to every promise of PROVENANCE.md."""
    require(len(data) < LARGEST_TAPE, f"{len(data)} bytes is too large")
    header, *events = map(json.loads, gzip.decompress(data).decode().splitlines())
    check_header(header)
    require(300 <= len(events) <= 600, f"{len(events)} events")
    for event in events:
        check_event(event, header)
    check_history(events)
    require({event["w"] for event in events} == set(range(len(header["wallets"]))), "a wallet without events")
    require({event["m"] for event in events} == set(range(len(header["markets"]))), "a market without events")
    return header, events


# ---- writing

def figures(data, header, events, counts):
    """The generated part of PROVENANCE.md."""
    kinds = Counter(event["k"] for event in events)
    provenance = Counter(event["prov"] for event in events)
    sides = Counter(event["side"] for event in events if event["k"] == "trade")
    share = {name: f"{100 * provenance[name] / len(events):.1f} %" for name in provenance}
    both = sum(all(market["tokens"]) for market in header["markets"])
    lines = [
        f"- sha256 of `recorded.jsonl.gz` ({len(data)} bytes): `{hashlib.sha256(data).hexdigest()}`",
        f"- sha256 of the text inside: `{hashlib.sha256(gzip.decompress(data)).hexdigest()}`",
        f"- {len(events)} events: {kinds['trade']} trades ({sides['BUY']} buys, {sides['SELL']} sells), "
        f"{kinds['redeem']} redemptions, {kinds['open']} opening balances",
        f"- by provenance: {provenance['recorded']} recorded ({share['recorded']}), "
        f"{provenance['derived']} derived ({share['derived']})",
        f"- {len(header['wallets'])} wallets, {len(header['markets'])} markets "
        f"({both} with both tokens known)",
        "",
        "| segment | recorded span (UTC) | plays at (s) | wallets | markets | trades | redemptions | openings |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for index, segment in enumerate(header["segments"]):
        own = [event for event in events if event["seg"] == index]
        kinds = Counter(event["k"] for event in own)
        span = " .. ".join(f"{datetime.fromtimestamp(segment[end], timezone.utc):%Y-%m-%d %H:%M:%S}"
                           for end in ("from", "to"))
        lines.append(f"| {segment['name']} | {span} | {own[0]['at']:.0f} to {own[-1]['at']:.0f} "
                     f"| {len({e['w'] for e in own})} | {len({e['m'] for e in own})} "
                     f"| {kinds['trade']} | {kinds['redeem']} | {kinds['open']} |")
    lines += ["", "What each source held and what was left out of it:", ""]
    for segment, count in zip(header["segments"], counts):
        known = "; ".join(f"{name} {number}" for name, number in count.items() if number)
        lines.append(f"- {segment['name']}: {known}.")
    return "\n".join(lines)


def main():
    """Makes, checks and writes the tape and its figures."""
    require(len(sys.argv) == 2, "usage: make_tape.py FOLDER")
    folder, here = Path(sys.argv[1]), Path(__file__).resolve().parent
    tape = Tape()
    for segment in SEGMENTS:
        tape.add(segment, folder)
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in tape.lines())
    data = gzip.compress(text.encode(), 9, mtime=0)
    header, events = check(data)
    page = (here / "PROVENANCE.md").read_text()
    before, rest = page.split("<!-- figures -->\n", 1)
    after = rest.split("<!-- end of figures -->", 1)[1]
    block = figures(data, header, events, tape.counts)
    (here / "recorded.jsonl.gz").write_bytes(data)
    (here / "PROVENANCE.md").write_text(f"{before}<!-- figures -->\n{block}\n<!-- end of figures -->{after}")
    print(block)


if __name__ == "__main__":
    main()
