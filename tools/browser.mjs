// Headless Chromium for checks of HTML reports, through puppeteer-core as tools/a11y.sh fetched it.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

export const fetched = createRequire(resolve(process.env.PLR_FAST_A11Y, "package.json"));

const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = CHROMIUM.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium found: install it, or name it in CHROMIUM");
  // No sandbox: the pages are our own, and it cannot be had as root in a container.
  return fetched("puppeteer-core").launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

// A tab with the file open; `requests` collects every address that it asked for beyond itself.
export async function open(browser, file, { width = 1280, height = 900, scheme = "light", script = true } = {}) {
  const page = await browser.newPage();
  const url = pathToFileURL(resolve(file)).href;
  const requests = [];
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) requests.push(request.url());
  });
  await page.setJavaScriptEnabled(script);
  await page.setViewport({ width, height, deviceScaleFactor: 1, isMobile: width < 500, hasTouch: width < 500 });
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: scheme },
    { name: "prefers-reduced-motion", value: "reduce" }, // clicks must not meet a page that still scrolls
  ]);
  await page.goto(url, { waitUntil: "load" });
  return { page, requests };
}
