// Uses a report as a reader would, in headless Chromium, and prints what is then to be seen, as JSON.
// Usage: node page_behaviour.mjs report.html; PLR_FAST_A11Y as for tools/a11y.sh.
import { launch, open } from "../../../tools/browser.mjs";

const [file] = process.argv.slice(2);
const browser = await launch();
const seen = {};

const column = (page, place) => page.evaluate((at) => [...document.querySelector("table.sortable.under-test").tBodies].map(
  (body) => [...body.rows].filter((row) => row.cells.length > 1).map((row) => row.cells[at].dataset.value ?? row.cells[at].textContent)), place);
const paper = (page) => page.evaluate(() => [...document.querySelector("table.under-test").tBodies].map(
  (body) => [...body.rows].filter((row) => row.cells.length > 1).map((row) => row.className === "paper")));
const boxes = (page) => page.evaluate(() => [...document.querySelector(".compare").querySelectorAll("img")].map((picture) => {
  const { left, top, width, height } = picture.getBoundingClientRect();
  return { left, top, width, height };
}));
const cut = (page) => page.evaluate(() => getComputedStyle(document.querySelector(".compare .pair > div")).clipPath);

try {
  const { page, requests } = await open(browser, file);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.evaluate(() => document.querySelector("#table-highest-and-average").classList.add("under-test"));
  const place = await page.evaluate(() => Number(document.querySelector('th[data-name="AUROC, average"]').dataset.column));
  const head = 'table.under-test th[data-name="AUROC, average"]';
  const state = async () => ({
    values: await column(page, place),
    paper: await paper(page),
    sort: await page.$eval(head, (one) => one.getAttribute("aria-sort")),
    said: await page.$eval("[role=status]", (one) => one.textContent),
    sections: await page.evaluate(() => [...document.querySelectorAll("table.under-test .section")].map(
      (row) => row === row.parentNode.rows[0] && row.textContent.trim())),
  });
  seen.before = await state();
  await page.focus(`${head} button`);
  await page.keyboard.press("Enter");
  seen.once = await state();
  await page.keyboard.press("Space");
  seen.twice = await state();
  await page.click(`${head} button`);
  seen.thrice = await state();
  // A value that is missing comes last, whichever way round.
  const f1 = await page.evaluate(() => Number(document.querySelector('th[data-name="F1, highest"]').dataset.column));
  seen.gaps = [];
  for (let click = 0; click < 2; click += 1) {
    await page.click('table.under-test th[data-name="F1, highest"] button');
    seen.gaps.push(await column(page, f1));
  }
  await page.click('table.under-test th[data-name="Method"] button');
  seen.words = await column(page, 0);

  const papers = () => page.$$eval("tr.paper", (rows) => rows.filter((row) => row.getBoundingClientRect().height > 0).length);
  seen.paperRows = [await papers()];
  await page.click("#show-paper");
  seen.paperRows.push(await papers());
  await page.click("#show-paper");
  seen.paperRows.push(await papers());

  seen.stacked = await boxes(page);
  seen.cuts = [await cut(page)];
  await page.focus("#slider-1");
  for (let count = 0; count < 20; count += 1) await page.keyboard.press("ArrowRight");
  seen.cuts.push(await cut(page));
  seen.valueText = await page.$eval("#slider-1", (one) => one.getAttribute("aria-valuetext"));
  const box = await page.$eval(".compare .pair", (one) => {
    one.scrollIntoView({ behavior: "instant" });
    const { left, top, width, height } = one.getBoundingClientRect();
    return { left, top, width, height };
  });
  await page.mouse.move(box.left + box.width / 2, box.top + 20);
  await page.mouse.down();
  await page.mouse.move(box.left + box.width / 4, box.top + 30);
  await page.mouse.up();
  seen.cuts.push(await cut(page));

  await page.emulateMediaType("print");
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  seen.unfolded = await page.evaluate(() => [...document.querySelectorAll("details")].map((one) => [one.open, !!one.querySelector("pre")]));
  seen.printed = await boxes(page);
  seen.printedCut = await cut(page);
  seen.errors = errors;
  seen.requests = requests;

  const narrow = (await open(browser, file, { width: 360, height: 740 })).page;
  const touch = await narrow.$eval(".compare .pair", (one) => {
    one.scrollIntoView({ behavior: "instant" });
    const { left, top, width } = one.getBoundingClientRect();
    return { left, top, width };
  });
  await narrow.touchscreen.touchStart(touch.left + touch.width / 2, touch.top + 40);
  await narrow.touchscreen.touchMove(touch.left + 0.9 * touch.width, touch.top + 40);
  await narrow.touchscreen.touchEnd();
  seen.touchCut = await cut(narrow);
  seen.sticky = await narrow.evaluate(() => {
    const region = document.querySelector("#table-highest-and-average").closest(".scroll");
    region.scrollIntoView({ behavior: "instant" });
    const name = region.querySelector("tbody th[scope=row]");
    const before = name.getBoundingClientRect().left;
    region.scrollLeft = 150;
    return { moved: name.getBoundingClientRect().left - before, scrolled: region.scrollLeft };
  });

  const plain = (await open(browser, file, { script: false })).page;
  // Scripts of the page are off; what asks here runs in a world of its own.
  seen.plain = {
    pictures: await boxes(plain),
    cut: await cut(plain),
    buttons: (await plain.$$("button")).length,
    controls: await plain.evaluate(() => [...document.querySelectorAll("input")].filter((one) => one.checkVisibility()).length),
  };
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
