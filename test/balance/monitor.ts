/** `nft monitor` beside the real nft, in a network namespace: what it reports, and that it cannot grow for ever. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Monitor } from '../../src/balance/monitor.ts'
import { TABLE } from '../../src/balance/ruleset.ts'
import type { Seen } from '../../src/balance/watch.ts'
import { lab, missing } from '../fixture/netns.ts'
import { until } from '../fixture/agents.ts'

const skip = missing('nft')

/** A script that replaces `count` elements of a map. */
const elements = (count: number, port: number): string => {
  const all = Array.from(
    { length: count },
    (_, i) => `11.0.${i >> 8}.${i & 255} . 80 : 10.0.${i >> 8}.${i & 255} . ${port}`,
  )
  return `flush map ip ${TABLE} m\nadd element ip ${TABLE} m { ${all.join(', ')} }\n`
}

/** A monitor in a namespace of its own, what it said, and how to change rules there. */
const watched = async (t: Test, most?: number) => {
  const host = lab(t).host('nft', [])
  const folder = t.testdir({})
  writeFileSync(
    join(folder, 'nft'),
    `#!/bin/sh\nexec ip netns exec ${host.name} /usr/sbin/nft "$@"\n`,
  )
  chmodSync(join(folder, 'nft'), 0o755)
  const path = process.env['PATH']
  process.env['PATH'] = `${folder}:${path}`
  t.teardown(() => (process.env['PATH'] = path))
  const script = join(folder, 'script')
  const nft = (text: string): void => {
    writeFileSync(script, text)
    host.sh(`nft -f ${script}`)
  }
  nft(
    `add table ip ${TABLE}\nadd map ip ${TABLE} m { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\n${elements(5_000, 1)}`,
  )
  const seen: Seen[] = []
  const ended: string[] = []
  let gaps = 0
  const monitor = new Monitor(
    { onSeen: one => seen.push(one), onGap: () => gaps++, onEnd: error => ended.push(error) },
    most,
  )
  t.teardown(() => monitor.close())
  monitor.start()
  /** Its process ids. */
  const running = (): number[] =>
    host
      .sh(`ip netns pids ${host.name} | while read p; do echo $p $(cat /proc/$p/comm); done`)
      .split('\n')
      .filter(line => line.endsWith(' nft'))
      .map(line => parseInt(line, 10))
  let changes = 0
  /** Waits until it reports a change: from then on it watches. */
  const watches = async (): Promise<void> => {
    seen.length = 0
    await until('a report', () => {
      nft(`add table ip theirs${changes++}`)
      return seen.length > 0
    })
  }
  await watches()
  return { nft, seen, ended, gaps: () => gaps, running, watches, monitor }
}

t.test(
  'it tells who deleted our table, and is quiet about its own end when closed',
  { skip },
  async t => {
    const { nft, seen, ended, running, monitor } = await watched(t)
    nft(`delete table ip ${TABLE}`)
    await until('the report', () => seen.some(({ kind }) => kind === 'changed'))
    const [change] = seen.filter(one => one.kind === 'changed')
    t.match(change, { by: 'nft', what: `delete table ip ${TABLE}` })
    t.equal(running().length, 1)
    monitor.close()
    await until('its end', () => running().length === 0)
    t.same(ended, [])
  },
)

t.test('where setpriv is missing it runs all the same, and nothing has ended', async t => {
  const folder = t.testdir({ nft: '#!/bin/sh\nexec /bin/sleep 600\n' })
  chmodSync(join(folder, 'nft'), 0o755)
  const path = process.env['PATH']
  process.env['PATH'] = folder
  t.teardown(() => (process.env['PATH'] = path))
  const ended: string[] = []
  const monitor = new Monitor({
    onSeen: () => t.fail('nothing to see'),
    onGap: () => t.fail('no gap'),
    onEnd: error => ended.push(error),
  })
  t.teardown(() => monitor.close())
  monitor.start()
  // Node reports that a program cannot be run as its error and as its end.
  for (let turn = 0; turn < 1_000; turn++) await new Promise(resolve => setImmediate(resolve))
  t.strictSame(ended, [])
})

t.test('one that ended is started again after a second', { skip }, async t => {
  const { ended, gaps, running, watches } = await watched(t)
  const [pid = 0] = running()
  process.kill(pid)
  await until('the gap', () => gaps() === 1)
  t.equal(ended.length, 1)
  await watches()
  t.equal(running().length, 1)
})

t.test('one that has grown is replaced, and says so', { skip }, async t => {
  const most = 16 * 1024
  const { nft, seen, ended, gaps, running, watches } = await watched(t, most)
  const [first = 0] = running()
  for (let port = 2; gaps() === 0 && port < 40; port++) {
    const before = seen.length
    nft(elements(5_000, port))
    // It prints 10,000 lines for that.
    await until('the report', () => seen.length > before || gaps() > 0)
  }
  await until('the gap', () => gaps() === 1)
  t.same(ended, [], 'that is no failure')
  const [second = 0, ...more] = running()
  t.same(more, [])
  t.not(second, first)
  const size = Number(
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${second}/status`, 'latin1'))?.[1],
  )
  t.ok(size < 1.5 * most, `${size} KiB`)
  await watches()
})
