/** The bench measures and checks answers; no speed is asserted here. */
import t, { type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { bench } from '../../../scripts/bench/bench.ts'
import { CASES } from '../../../scripts/bench/cases.ts'
import { fault } from '../../../scripts/bench/counts.ts'
import { Histogram } from '../../../scripts/bench/histogram.ts'
import { PEERS } from '../../../scripts/bench/peers.ts'
import { pauses, together } from '../../../scripts/bench/pauses.ts'
import { Questions } from '../../../scripts/bench/questions.ts'
import {
  markdownReport,
  median,
  textReport,
  writeBetweenMarkers,
} from '../../../scripts/bench/report.ts'
import type { Row } from '../../../scripts/bench/report.ts'
import { processorTime, residentBytes, waits } from '../../../scripts/bench/usage.ts'

const linux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
const onLinux = linux ? {} : { skip: 'SKIPPED: the bench reads /proc and needs batched I/O' }

/** The rows of one short run. */
const quickly = async (
  t: Test,
  cases: readonly string[],
  servers: readonly string[],
): Promise<Row[]> => {
  let out = ''
  const status = await bench({
    cases,
    servers,
    seconds: 0.2,
    runs: 1,
    settleMs: 50,
    json: true,
    out: text => (out += text),
    progress: () => {},
  })
  t.equal(status, 0)
  return (JSON.parse(out) as { rows: Row[] }).rows
}

t.test('a quick bench of the floor answers everything rightly', onLinux, async t => {
  const rows = await quickly(t, ['hit', 'tcp'], ['floor'])
  t.strictSame(
    rows.map(row => `${row.case} ${row.server}`),
    ['hit floor', 'tcp floor'],
  )
  for (const { runs } of rows) {
    t.equal(runs.length, 1)
    for (const run of runs) {
      t.equal(run.wrong, 0)
      t.ok(run.answered > 0)
      t.ok(run.cpuUs > 0)
      t.ok(run.p50 <= run.p999)
    }
  }
})

t.test('a bench of little asked says what a server costs meanwhile', onLinux, async t => {
  const group = CASES.filter(one => one.group === 'rates')
  t.equal(group.length, 9, 'idle, and four rates, with and without misses')
  const [idle, asked] = await quickly(t, ['rates-idle', 'rates-1000-miss'], ['spartan'])
  t.equal(idle!.case, 'rates-idle')
  t.equal(idle!.runs[0]!.answered, 0)
  t.ok(idle!.runs[0]!.core >= 0)
  t.ok(asked!.runs[0]!.answered > 0)
  t.ok(asked!.runs[0]!.wakeups > 0)
  t.ok(asked!.runs[0]!.core > 0)
})

t.test('bench refuses cases and servers that there are not', async t => {
  const quiet = { out: () => {}, progress: () => {} }
  await t.rejects(bench({ cases: ['nothing'], ...quiet }), { code: 'EUSAGE', message: /hit50k/ })
  await t.rejects(bench({ servers: ['nothing'], ...quiet }), { code: 'EUSAGE', message: /floor/ })
})

t.test('pauses of the machine are the gaps in a clock that is read all the time', async t => {
  const ticks = [0, 0.1, 0.2, 4.2, 4.3, 5.4, 6, 11.1]
  const one = pauses(10, () => ticks.shift() ?? 11.1)
  t.match(one, { count: 3, lookedMs: 11.1 })
  t.equal(one.longestMs.toFixed(1), '5.1')
  t.equal(one.totalMs.toFixed(1), '10.2')
  const none = { count: 0, overMs: 1, longestMs: 0, totalMs: 0, lookedMs: 1 }
  t.match(together(one, none), { count: 3, lookedMs: 12.1, longestMs: one.longestMs })
})

t.test('histogram percentiles are right to two percent', async t => {
  const histogram = new Histogram()
  t.ok(Number.isNaN(histogram.percentile(0.5)))
  for (let us = 1; us <= 100_000; us++) histogram.add(us / 1000)
  for (const share of [0.01, 0.5, 0.99, 0.999, 1]) {
    const off = histogram.percentile(share) / (share * 100_000)
    t.ok(off > 0.98 && off <= 1.001, `${share}`)
  }
  histogram.add(-1)
  histogram.add(1e9)
  t.equal(histogram.count, 100_002)
  histogram.clear()
  t.equal(histogram.count, 0)
})

t.test('answers are checked against their questions', async t => {
  const questions = new Questions({
    names: 100,
    fresh: 0.5,
    zone: 'bench.example.org',
    freshZone: 'bench.mesos',
  })
  const query = Buffer.alloc(64)
  const length = questions.writeName(42, query, 0)
  const good = Buffer.from(query)
  good[2] = 0x81
  good[7] = 1
  const check = (change: (b: Buffer) => void, size = length): string => {
    const b = Buffer.from(good)
    change(b)
    return fault(b, 0, size, query, 0, length, 1)
  }
  t.equal(
    check(() => {}),
    '',
  )
  t.equal(
    check(() => {}, length - 1),
    'no response',
  )
  t.equal(
    check(b => (b[2] = 1)),
    'no response',
  )
  t.equal(
    check(b => (b[3] = 2)),
    'RCODE 2',
  )
  t.equal(
    check(b => (b[7] = 0)),
    'wrong number of answers',
  )
  t.equal(
    check(b => (b[20] = 0)),
    'another question',
  )
  const asked = new Set<string>()
  for (let i = 0; i < 1000; i++) asked.add(query.toString('latin1', 12, questions.write(query, 0)))
  t.ok(asked.size > 400 && asked.size < 800, 'a hundred names again and again, and half fresh ones')
})

t.test('usage of a process is read from the kernel', onLinux, async t => {
  const before = processorTime(process.pid)
  for (let x = 0; processorTime(process.pid) - before < 1e6;) x++
  t.ok(residentBytes(process.pid) > 1e6)
  t.throws(() => processorTime(2 ** 30))
})

t.test('a thread that ends takes no time and no waits away from its process', onLinux, async t => {
  const busy = `for (const since = performance.now(); performance.now() - since < 300;);
    for (let n = 0; n < 1000; n++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.01)
    require('worker_threads').parentPort.once('message', () => {}).postMessage('')`
  const worker = new Worker(busy, { eval: true })
  await once(worker, 'message')
  const before = [processorTime(process.pid), waits(process.pid)] as const
  await worker.terminate()
  t.ok(processorTime(process.pid) >= before[0])
  t.ok(waits(process.pid) >= before[1])
})

t.test('reports are medians, with ratios to ours', async t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, NaN, 3]), 2.5)
  t.ok(Number.isNaN(median([])))
  const run = {
    seconds: 1,
    answered: 1,
    qps: 1000,
    core: 12.5,
    wakeups: 250,
    lost: 0,
    wrong: 0,
    unsent: 0,
    p50: 20,
    p99: 30,
    p999: 40,
    late: 0.25,
    p99Before: NaN,
    p99After: NaN,
    note: '',
    example: '',
  }
  const row = (name: string, server: string, cpus: number[], more = {}): Row => ({
    case: name,
    title: `a case called ${name}`,
    server,
    version: '',
    runs: cpus.map(cpuUs => ({ ...run, cpuUs, ...more })),
    residentBytes: NaN,
    grownBytes: NaN,
    late: name === 'prefetch',
  })
  const rows = [
    row('hit', 'spartan', [2, 4, 3]),
    row('hit', 'unbound', [6, 6, 6], { wrong: 1, example: 'what came' }),
    row('prefetch', 'spartan', [9], { note: 'and a flood' }),
    row('hashflood', 'spartan', [9], { p99Before: 24, p99After: 18 }),
    row('latency', 'direct', [NaN], { p50: 9 }),
    row('latency', 'spartan', [20], { p50: 49 }),
  ]
  const starts = [{ server: 'spartan', readyMs: [300, 200, 900] }]
  const machine = { count: 26, overMs: 1, longestMs: 9.31, totalMs: 62, lookedMs: 4_000 }
  const text = textReport(rows, starts, machine)
  t.match(text, /unbound +6\.00 +2\.00 +12\.50 +250\.0 +1,000 +20 +30 +40 +0 +3/)
  t.match(text, 'spartan adds 40 µs to a raced miss')
  t.match(text, 'prefetch, spartan: and a flood')
  t.match(text, 'prefetch, spartan: 25.00 % of the queries waited for an upstream')
  t.match(
    text,
    'hashflood, spartan: p99 24 µs before the other client, 1.25 x beside it, 0.75 x after it',
  )
  t.notMatch(text, 'prefetch, spartan: p99')
  t.match(text, 'spartan is ready 300 ms after its start')
  t.match(text, '26 times for over 1 ms in 4.0 s, 62 ms in all and 9.3 ms at the longest')
  t.match(text, 'first wrong answer: unbound: what came')
  const table = markdownReport(rows, starts, machine, 'spartan bench', new Date('2026-01-02'))
  t.match(table, /^2026-01-02, .*`spartan bench`/)
  t.match(table, '| a case called hit | unbound | 6.00 | 2.00 |')
  const dir = t.testdir({
    'README.md': 'before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n',
  })
  const path = join(dir, 'README.md')
  writeBetweenMarkers(path, 'new')
  t.equal(readFileSync(path, 'utf8'), 'before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n')
  writeFileSync(path, 'no markers')
  t.throws(() => writeBetweenMarkers(path, 'new'), { code: 'EDATA' })
})

t.test(
  'every peer is told its address, its port and all upstreams, and nothing public',
  async t => {
    const upstreams = ['127.0.0.3', '127.0.0.4'].map(address => ({ address, port: 5454 }))
    for (const { name, set } of PEERS) {
      const { files = {}, args } = set({
        dir: '/nowhere',
        address: '127.0.0.2',
        port: 5353,
        adminPort: 1,
        upstreams,
        vipFiles: [],
        ring: [],
      })
      const all = [...Object.values(files), ...args].join('\n')
      for (const part of ['127.0.0.2', '5353', '127.0.0.3', '127.0.0.4', '5454']) {
        t.ok(all.includes(part), `${name} has ${part}`)
      }
      const addresses = all.match(/\b\d+\.\d+\.\d+\.\d+\b/g) ?? []
      t.ok(
        addresses.every(address => address.startsWith('127.')),
        name,
      )
    }
  },
)

t.test('peers.sh is a shell script that parses', onLinux, async t => {
  execFileSync('sh', ['-n', 'scripts/bench/peers.sh'])
  t.pass()
})
