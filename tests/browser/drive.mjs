// Drives Chromium over the pages: `node drive.mjs SCENARIO URL SHOTS`. Says what failed and ends with 1 then.
import { createRequire } from "node:module";
import { createHmac } from "node:crypto";
import { readFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [scenario, url, shots] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 30_000;
// Who trades most on the tape.
const LEADER = "0x476639d9845d7a0261cb005dae6473f089ff5a03";
const PAGES = ["/", "/activity", "/following", "/following/new", "/leaders", `/leaders/${LEADER}`, "/following/1", "/following/1/edit", "/positions", "/accounts", "/operations", "/security"];

function must(holds, words) {
  if (!holds) throw new Error(words);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const refusals = [];

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, timezoneId: "Europe/Zurich", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => refusals.push(`script: ${error.message}`));
  page.on("console", (line) => {
    if (line.type() === "error" && /Content Security Policy|Refused to/.test(line.text())) refusals.push(line.text());
  });
  return page;
}

async function go(page, path) {
  const reply = await page.goto(new URL(path, url).href);
  must(reply.ok(), `${path} answers ${reply.status()}`);
}

// The page without what moves, so that pictures of the same moment are the same.
async function shot(page, name) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

async function accessible(page, where) {
  // Not as a tag inside the page: the policy allows none.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return result.violations.map((one) => `${one.id}: ${one.help} (${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join("; ")})`);
  });
  must(found.length === 0, `${where}: ${found.join("\n  ")}`);
}

// What an authenticator app shows (RFC 6238).
function totp(secret) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(step).digest();
  return String((hash.readUInt32BE(hash[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const fitsWidth = (page) => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);

const scenarios = {
  // A newcomer follows a leader through the form, and sees the first copied trade.
  async following() {
    const page = await open();
    await go(page, "/");
    await page.getByText("Live", { exact: true }).waitFor();
    // The demo's one account follows everybody: this one is stopped first, to be followed anew.
    const line = page.locator("tr", { has: page.getByText("0x4766…5a03") });
    await go(page, "/following");
    await line.first().getByRole("link").first().click();
    await page.getByRole("button", { name: "Stop for good…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop for good" }).click();
    await page.locator("#live .tag", { hasText: "stopped" }).first().waitFor();

    await go(page, "/following");
    await page.getByRole("link", { name: "Follow a leader" }).first().click();
    await page.getByRole("button", { name: "Follow", exact: true }).click();
    await page.getByText("Whom to copy is missing").first().waitFor();
    await page.getByLabel("Leader's wallet").fill(LEADER);
    await page.getByText("The same amount each time").click();
    await page.getByRole("textbox", { name: "Amount" }).fill("5");
    await page.getByRole("textbox", { name: "Above the leader's price" }).fill("100");
    await page.getByRole("textbox", { name: "Above the best offer" }).fill("100");
    await page.getByText(/of \d+ buys? copied, for/).waitFor();
    await shot(page, "following-form");
    await page.getByRole("button", { name: "Follow", exact: true }).click();
    await page.waitForURL(/\/following\/\d+$/);
    const copied = page.locator("section[aria-labelledby=newest] a[href^='/orders/']").first();
    await copied.waitFor({ timeout: 90_000 });
    await shot(page, "following-first-copy");
    // It is listed with what it cost, and its story can be opened.
    await copied.click();
    await page.getByRole("heading", { name: "What happened when" }).waitFor();
    await shot(page, "order");
    for (const stage of ["traded", "seen", "decided", "signed", "sent"]) {
      const row = page.getByRole("row", { name: new RegExp(`^${stage} \\d`) });
      must((await row.count()) === 1, `the order's story has no stage ${stage}`);
    }
    await accessible(page, "an order");
  },

  // Pause takes effect in the list without loading it again, and so does resume.
  async pausing() {
    const page = await open();
    await go(page, "/following");
    await page.getByRole("button", { name: "Pause relationship 1", exact: true }).click();
    await page.locator("#notice").getByText("relationship 1 is paused now").waitFor();
    await page.getByRole("button", { name: "Resume relationship 1", exact: true }).click();
    await page.locator("#notice").getByText("relationship 1 is active now").waitFor();
    await page.getByRole("button", { name: "Pause relationship 1", exact: true }).waitFor();
    // A panic holds everything and is lifted again.
    await page.getByRole("button", { name: "Stop trading…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop", exact: true }).click();
    await page.locator("#notice").getByText("buys are held").waitFor();
    await go(page, "/operations");
    await shot(page, "held");
    await page.getByRole("button", { name: "Lift" }).click();
    await page.getByText("Nothing is on hold.").waitFor();
  },

  // Every page in both schemes and at a phone's size: nothing that axe finds, nothing wider than the screen.
  async looks() {
    const sizes = { desk: { width: 1360, height: 900 }, phone: { width: 390, height: 844 } };
    for (const [name, viewport] of Object.entries(sizes)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open({ viewport, colorScheme });
        for (const path of PAGES) {
          await go(page, path);
          await page.getByText("Live", { exact: true }).waitFor();
          await page.waitForFunction(() => !document.querySelector(".htmx-request"));
          const called = path === "/" ? "home" : path.slice(1).replace(/\/0x.*/, "/one").replaceAll("/", "-");
          await shot(page, `${called}-${name}-${colorScheme}`);
          must(await fitsWidth(page), `${path} is wider than a ${name}`);
          if (name === "desk" || colorScheme === "light") await accessible(page, `${path} (${name}, ${colorScheme})`);
        }
        await page.context().close();
      }
    }
  },

  // The one user of a machine sets a passphrase, adds an app and a passkey, and proves with it who he is.
  async proofs() {
    const page = await open();
    const security = new URL("/security", url.replace("127.0.0.1", "localhost")).href;
    await page.goto(security);
    await page.getByLabel("A new one", { exact: true }).fill("too short");
    await page.getByRole("button", { name: "Set it" }).click();
    await page.locator("#notice").getByText("12 to 256 characters").waitFor();
    await page.getByLabel("A new one", { exact: true }).fill("correct horse battery staple");
    await page.getByRole("button", { name: "Set it" }).click();
    await page.getByLabel("The one you have").waitFor();

    await page.getByRole("button", { name: "Add an app" }).click();
    const secret = await page.locator("#totp-secret").textContent();
    await page.getByLabel("The code that it shows").fill(totp(secret.trim()));
    await page.getByRole("button", { name: "Use the app from now on" }).click();
    await page.locator("#recovery-codes li").nth(9).waitFor();
    await page.getByRole("link", { name: "I have them" }).click();
    await page.getByText("Recovery codes left: 10").waitFor();

    const devices = await page.context().newCDPSession(page);
    await devices.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    await devices.send("WebAuthn.addVirtualAuthenticator", { options });
    await page.getByLabel("Name of a new one").fill("phone");
    await page.getByRole("button", { name: "Add a passkey" }).click();
    await page.locator("li", { hasText: "phone" }).waitFor();

    // Without its session the browser has proved nothing; the passkey does it anew.
    await page.context().clearCookies();
    await page.goto(security);
    await page.getByRole("heading", { name: "Prove that it is you" }).waitFor();
    await page.getByLabel("For which program").fill("robot");
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.locator("#notice").getByText("needs your password or a passkey again").waitFor();
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await page.getByRole("heading", { name: "Prove that it is you" }).waitFor({ state: "detached" });
    await page.getByLabel("For which program").fill("robot");
    await page.getByRole("button", { name: "Make a token" }).click();
    const token = await page.locator("#new-token").textContent();
    must(/^slp_[\w-]{43}$/.test(token.trim()), `no token: ${token}`);
    await page.getByRole("link", { name: "I have it" }).click();
    await page.locator("td", { hasText: "robot" }).waitFor();
    await shot(page, "security-proven");
    await accessible(page, "security, with everything");
  },

  // Times are the reader's own, with UTC on hover; a page whose stream is lost says since when.
  async time_and_silence() {
    const page = await open();
    await go(page, "/activity");
    await page.getByText("Live", { exact: true }).waitFor();
    const time = page.locator("time").first();
    await time.waitFor();
    const [shown, utc] = [await time.textContent(), await time.getAttribute("title")];
    must(/UTC$/.test(utc), `no UTC on hover: ${utc}`);
    const hours = (text) => Number(/(\d\d):\d\d:\d\d/.exec(text)[1]);
    must((hours(shown) - hours(utc) + 24) % 24 > 0, `${shown} is not Zurich's time of ${utc}`);
    await page.route("**/api/v1/events", (route) => route.abort());
    await page.reload();
    await page.getByText(/^Stale since \d\d:\d\d:\d\d$/).waitFor();
    await shot(page, "stale");
    await page.unroute("**/api/v1/events");
    await page.getByText("Live", { exact: true }).waitFor();
    // Keys go from page to page.
    await page.keyboard.press("g");
    await page.keyboard.press("f");
    await page.waitForURL(/\/following$/);
  },
};

try {
  must(scenarios[scenario], `there is no scenario ${scenario}`);
  await scenarios[scenario]();
  must(refusals.length === 0, refusals.join("\n"));
} catch (error) {
  console.error(`${scenario}: ${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
