/** The script of the status page in a real browser, and the advice for each problem. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silent } from '../../src/base/log.ts'
import * as c from '../../src/boundary/counters.ts'
import { AdminServer } from '../../src/ops/admin.ts'
import { opsRoutes } from '../../src/ops/ops-routes.ts'
import { adviceOn } from '../../src/ops/page/advice.ts'
import { Recent } from '../../src/ops/recent.ts'
import { ownAddress } from '../fixture/address.ts'
import { status } from '../fixture/status.ts'

t.test('every kind of trouble has its first thing to do', async t => {
  for (const [name, detail, wanted] of [
    ['data thread', 'silent for 60 s', /systemctl restart spartan\b/],
    ['daemon', 'is stopping', /being stopped/],
    ['198.51.100.1:53', 'not bound: EADDRINUSE', /ss -lnptu/],
    ['198.51.100.1:53', 'no TCP: EADDRNOTAVAIL', /spartan-addresses/],
    ['198.51.100.1:53', 'not bound: EACCES', /unit/],
    ['198.51.100.1:53', 'not bound yet', /few seconds/],
    ['data thread', 'has not started', /few seconds/],
    ['198.51.100.1:53', 'does not answer: no answer within a second', /dig @/],
    ['configuration', 'reload refused: line 3', /Correct the file/],
    ['masters', 'none known', /check --deep/],
    ['192.0.2.53:53', 'does not answer: timeout', /spartan upstreams/],
    ['l4lb.thisdcos.directory', 'zone data has not arrived', /spartan members/],
    ['something', 'nobody thought of', /journalctl/],
  ] as const) {
    const advice = adviceOn({ name, detail })
    t.match(advice, wanted, `${name}: ${detail}`)
    t.match(advice, /\.$/)
  }
})

const executablePath = '/usr/bin/chromium'
const skip = !existsSync(executablePath) && 'SKIPPED: chromium is not installed'

/** An expression for the browser: the numbers in table cells whose digits are broken over several lines. */
const BROKEN = `[...document.querySelectorAll('td.num')].filter(cell => {
  const range = document.createRange()
  range.selectNodeContents(cell)
  return /^\\d+$/.test(cell.textContent) && new Set([...range.getClientRects()].map(r => r.top)).size > 1
}).map(cell => cell.textContent).join()`

t.test('a browser draws the plots, filters tables and takes fresh values', { skip }, async t => {
  const counters = c.countersOver(c.countersMemory())
  const recent = new Recent(counters, 0)
  for (let tick = 5_000; tick <= 300_000; tick += 5_000) {
    const cell = c.ZONES + 1
    counters[c.BLOCK.requests + cell * 48]! += 500
    counters[c.BLOCK.lookups + cell]! += 500
    counters[c.BLOCK.hits + cell * 2]! += 400
    counters[c.BLOCK.responses + cell * c.RCODE_LABELS.length + 2]! += 10
    counters[c.BLOCK.upstream + c.UPSTREAM_SLOT.wins]! += 50
    c.countTime(counters, c.BLOCK.duration + cell * c.TIME_CELLS, 0.0004, 500)
    recent.sample(tick)
  }
  const { upstreams } = status()
  let shown = status({ upstreams: upstreams.map(u => ({ ...u, wins: 997, contradicted: 109 })) })
  const admin = new AdminServer({
    log: silent,
    routes: opsRoutes({
      metrics: { scrape: async () => ({ text: '', contentType: 'text/plain' }) },
      health: async () => shown.health,
      status: async () => shown,
      history: () => recent.history(shown.at, 300_000, [{ slot: 0, name: '192.0.2.5:61053' }]),
    }),
  })
  t.teardown(() => admin.close())
  const address = ownAddress()
  const at = await admin.listen({ address, port: 0 })
  const url = `http://${address}:${'port' in at ? at.port : 0}/`

  const { chromium } = await import('playwright-core')
  const dir = mkdtempSync(join(tmpdir(), 'page-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const context = await chromium.launchPersistentContext(dir, {
    executablePath,
    chromiumSandbox: false,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', er => complaints.push(String(er)))

  for (const width of [390, 1180]) {
    await page.setViewportSize({ width, height: 900 })
    await page.goto(url)
    await page.waitForSelector('[data-plot=errors] canvas')
    t.equal(await page.locator('[data-plot] canvas').count(), 5)
    const beyond = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
    t.ok(Number(beyond) <= 0, `nothing beyond ${width} pixels`)
    t.equal(
      await page.evaluate(
        '[...document.querySelectorAll(".wide")].filter(w => w.scrollWidth > w.clientWidth + 1).length',
      ),
      0,
      `no table is cut off at ${width} pixels`,
    )
    t.equal(await page.evaluate(BROKEN), '', `no number goes over two lines at ${width} pixels`)
    const folder = process.env['SPARTAN_SCREENSHOTS']
    if (folder)
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        await page.waitForTimeout(1_000)
        await page.screenshot({ path: join(folder, `${colorScheme}-${width}.png`), fullPage: true })
      }
  }
  t.match(await page.textContent('[data-plot=wins] .u-legend'), '192.0.2.5:61053')
  t.match(await page.textContent('[data-plot=errors] .u-legend'), 'SERVFAIL')

  const rows = '#zones tbody tr'
  const visible = `[...document.querySelectorAll('${rows}')].filter(row => !row.hidden).length`
  const all = Number(await page.evaluate(visible))
  await page.fill('#zones-filter', 'l4lb')
  t.equal(await page.evaluate(visible), 1)
  t.ok(all > 1)

  shown = status({ node: 'agent-18' })
  await page.waitForSelector('header:has-text("agent-18")')
  t.equal(await page.evaluate(visible), 1, 'the filter stays over fresh values')
  t.equal(await page.inputValue('#zones-filter'), 'l4lb')
  t.strictSame(complaints, [], 'nothing is refused by the policy and nothing throws')
})
