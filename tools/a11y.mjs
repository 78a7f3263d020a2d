// See a11y.sh.
import { readFileSync } from "node:fs";
import { fetched, launch, open } from "./browser.mjs";

const axe = readFileSync(fetched.resolve("axe-core/axe.min.js"), "utf-8");
const browser = await launch();
let wrong = 0;
const say = (text) => {
  wrong += 1;
  console.log(text);
};
try {
  for (const file of process.argv.slice(2)) {
    for (const width of [1280, 360]) {
      for (const scheme of ["light", "dark"]) {
        const { page, requests } = await open(browser, file, { width, scheme });
        const where = `${file} (${scheme}, ${width} px)`;
        await page.evaluate(axe);
        // Contrast and alternatives are told for everything, not only for what the window shows.
        const found = await page.evaluate(() => window.axe.run(document, {
          runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
          resultTypes: ["violations", "incomplete"],
        }));
        for (const violation of found.violations) {
          say(`${where}: ${violation.id} (${violation.impact}): ${violation.help}`);
          for (const node of violation.nodes.slice(0, 5)) console.log(`    ${node.target.join(" ")}: ${node.failureSummary}`);
        }
        for (const open of found.incomplete) {
          console.log(`${where}: to be looked at: ${open.id}, ${open.nodes.length} places: ${open.nodes[0].target.join(" ")}`);
        }
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (over > 0) say(`${where}: the page is ${over} px wider than the window`);
        for (const url of requests) say(`${where}: requests ${url}`);
        console.log(`${where}: ${found.violations.length} violations, ${found.passes.length} rules passed`);
        await page.close();
      }
    }
  }
} finally {
  await browser.close();
}
process.exit(wrong ? 1 : 0);
