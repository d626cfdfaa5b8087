// Drives the official TypeScript client: one JSON command per line in, one JSON answer per line out.
// Answers are {"ok": value} or {"error": {"status": number|null, "text": string, "retryAfter": string|null}}.
import { createInterface } from "node:readline";
import { ClobClient, Side, createL2Headers, orderToJsonV2 } from "@polymarket/clob-client-v2";
import axios from "axios";
import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

// The client tells no headers: what its own transport was told when to come back.
let retryAfter = null;
axios.interceptors.response.use(
  (reply) => reply,
  (error) => {
    retryAfter = error.response?.headers?.["retry-after"] ?? null;
    return Promise.reject(error);
  });

const orders = new Map();
let settings;
let client;

// What the client gets of us for everything but its host and its credentials.
function connect(host, creds, throwOnError = true) {
  const account = privateKeyToAccount(settings.key);
  // The signer never asks its transport for anything: signing is local.
  const signer = createWalletClient({ account, transport: http("http://127.0.0.1:9") });
  return new ClobClient({
    host, chain: settings.chain, signer, creds, throwOnError,
    signatureType: settings.signatureType, funderAddress: settings.funder ?? undefined,
    builderConfig: settings.builder ? { builderCode: settings.builder } : undefined,
  });
}

const side = (name) => (name === "BUY" ? Side.BUY : Side.SELL);
const assets = ({ assetType, token }) => ({ asset_type: assetType, token_id: token });

// A signed order as text fields, whichever types the client uses for them.
const facts = (order) => Object.fromEntries(
  Object.entries(order).map(([name, value]) => [name, typeof value === "string" ? value : String(value)]));

async function keep(name, order) {
  orders.set(name, order);
  return facts(order);
}

const calls = {
  connect: async (given) => { settings = given; client = connect(given.host); return true; },
  login: async () => {
    // A client that throws never gets from the refused creation to deriving the key.
    const creds = await connect(settings.host, undefined, false).createOrDeriveApiKey();
    client = connect(settings.host, creds);
    return creds.key;
  },
  // Creates credentials and does not go on to deriving them when that is refused.
  create_key: async () => (await client.createApiKey()).key,
  // Posts through `host` from now on, with the same credentials.
  host: async ({ host }) => { client = connect(host, client.creds); return true; },
  sign: async ({ name, token, price, size, side: of, expiration, options }) =>
    keep(name, await client.createOrder({ tokenID: token, price, size, side: side(of), expiration }, options)),
  sign_market: async ({ name, token, amount, side: of, price, orderType, options }) =>
    keep(name, await client.createMarketOrder({ tokenID: token, amount, side: side(of), price, orderType }, options)),
  post: async ({ name, orderType, postOnly, deferExec }) =>
    client.postOrder(orders.get(name), orderType, postOnly, deferExec),
  // Posts what the client makes of an order with other words in it: another owner, fields of the order (null leaves one out).
  post_changed: async ({ name, orderType, owner, changes = {} }) => {
    const data = orderToJsonV2(orders.get(name), owner ?? client.creds.key, orderType, false, false);
    for (const [field, value] of Object.entries(changes)) {
      if (value === null) delete data.order[field];
      else data.order[field] = value;
    }
    const request = { method: "POST", requestPath: "/order", body: JSON.stringify(data) };
    const headers = await createL2Headers(client.signer, client.creds, request);
    return client.post(`${client.host}/order`, { headers, data });
  },
  post_many: async ({ names, orderType, postOnly, deferExec }) =>
    client.postOrders(names.map((name) => ({ order: orders.get(name), orderType })), postOnly, deferExec),
  cancel: async ({ id }) => client.cancelOrder({ orderID: id }),
  cancel_many: async ({ ids }) => client.cancelOrders(ids),
  cancel_all: async () => client.cancelAll(),
  cancel_market: async ({ market, token }) => client.cancelMarketOrders({ market, asset_id: token }),
  readonly_create: async () => client.createReadonlyApiKey(),
  readonly_keys: async () => client.getReadonlyApiKeys(),
  readonly_delete: async ({ key }) => client.deleteReadonlyApiKey(key),
  builder_create: async () => client.createBuilderApiKey(),
  builder_keys: async () => client.getBuilderApiKeys(),
  builder_revoke: async () => client.revokeBuilderApiKey(),
  order: async ({ id }) => client.getOrder(id),
  open_orders: async ({ market, token }) => client.getOpenOrders({ market, asset_id: token }),
  first_open_orders: async () => client.getOpenOrders({}, true),
  trades: async (filter) => client.getTrades(filter),
  trades_page: async ({ cursor, ...filter }) => client.getTradesPaginated(filter, cursor),
  builder_trades: async ({ builder, cursor }) => client.getBuilderTrades({ builder_code: builder }, cursor),
  heartbeat: async ({ id }) => client.postHeartbeat(id),
  balance: async (of) => client.getBalanceAllowance(assets(of)),
  update_balance: async (of) => { await client.updateBalanceAllowance(assets(of)); return true; },
  closed_only: async () => client.getClosedOnlyMode(),
  version: async () => client.getVersion(),
  time: async () => client.getServerTime(),
  book: async ({ token }) => client.getOrderBook(token),
  books: async ({ tokens }) => client.getOrderBooks(tokens.map((token) => ({ token_id: token, side: Side.BUY }))),
  // The hash that the venue named and the one that the client computes, which overwrites the first.
  book_hash: async ({ token }) => {
    const book = await client.getOrderBook(token);
    const { hash } = book;
    return [hash, await client.getOrderBookHash(book)];
  },
  midpoint: async ({ token }) => client.getMidpoint(token),
  spread: async ({ token }) => client.getSpread(token),
  price: async ({ token, side: of }) => client.getPrice(token, side(of)),
  last_trade_price: async ({ token }) => client.getLastTradePrice(token),
  tick_size: async ({ token }) => client.getTickSize(token),
  neg_risk: async ({ token }) => client.getNegRisk(token),
  market: async ({ market }) => client.getMarket(market),
  market_info: async ({ market }) => client.getClobMarketInfo(market),
  markets: async () => client.getMarkets(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line);
  let answer;
  retryAfter = null;
  try {
    answer = { ok: (await calls[call](given)) ?? null };
  } catch (error) {
    const text = error.data?.error ?? error.message ?? error;
    const words = typeof text === "string" ? text : JSON.stringify(text);
    answer = { error: { status: error.status ?? null, text: words, retryAfter } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
