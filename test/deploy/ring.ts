/**
 * Five machines that boot, with the daemon under its units and a keyring made as the README says, on one network.
 * Two of them are masters: each follows its own scripted Mesos master and publishes the zones while that one leads,
 * and serves `mesos` to all. All nodes are asked for names of every kind the whole time, while one node after the
 * other is killed, frozen, cut off, moved to another address, and given a clock that is a day off.
 *
 * Allowed are SERVFAIL with an extended error, and no answer from the node that is in trouble. Never allowed: a wrong
 * address, and NXDOMAIN for a name that exists.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { boot, cannotBoot, installInto, layer, type Machine } from '../fixture/booted.ts'
import { lab, missing, type Host } from '../fixture/netns.ts'

t.setTimeout(580_000)

const DAY_MS = 86_400_000
/** How long a state may take to come. Only a bound for what never comes. */
const PATIENCE_MS = 120_000
const NODES = 5
/** The first two are on masters. */
const MASTERS = [0, 1]
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'
const address = (n: number): string => `10.77.0.${n + 1}`

/** Name, and its addresses; none for a name that does not exist. */
const NAMES: readonly (readonly [string, readonly string[]])[] = [
  ['#.example.org', ['203.0.113.80']],
  ['redis.marathon.mesos', ['10.77.0.113']],
  ['redis.marathon.agentip.dcos.thisdcos.directory', ['10.77.0.113']],
  ['kafka-0-broker.kafka.containerip.dcos.thisdcos.directory', ['10.77.0.111']],
  ['redis.marathon.mesos.thisdcos.directory', ['10.77.0.113']],
  ['redis.marathon.l4lb.thisdcos.directory', ['10.77.0.113']],
  ['broker.kafka.l4lb.thisdcos.directory', ['10.77.0.111', '10.77.0.112', '10.77.0.113']],
  ['ready.spartan', ['127.0.0.1']],
  ['nothing.marathon.l4lb.thisdcos.directory', []],
  ['nothing.marathon.agentip.dcos.thisdcos.directory', []],
]

/** The demo's Mesos with two masters, and its resolver. SIGUSR2 makes the other master lead, SIGHUP is its next event. */
const world = (dist: string): string => `
import { Cluster } from '${dist}/demo/cluster/cluster.js'
import { startResolver } from '${dist}/demo/resolver.js'
await startResolver({ address: '10.77.0.53', port: 53 })
const agents = [111, 112, 113].map(n => ({ address: '10.77.0.' + n, port: 5051 }))
const masters = [101, 102].map(n => ({ address: '10.77.0.' + n, port: 5050 }))
const cluster = await Cluster.start({ masters, agents, now: Date.now, random: () => 0.5 })
process.on('SIGUSR2', () => cluster.failover())
process.on('SIGHUP', () => cluster.step())
console.log('up')
`

const config = (n: number): string => `
node: node-${n}
listen: { addresses: [198.51.100.1, 198.51.100.2, 198.51.100.3] }
masters: { source: static, addresses: [${MASTERS.map(address).join(', ')}] }
upstreams: [10.77.0.53]
gossip: { seeds: [${MASTERS.map(address).join(', ')}], keyring: /var/lib/spartan/keyring.json }
vips: { ${MASTERS.includes(n) ? '' : `agent: 'http://10.77.0.${109 + n}:5051'`} }
${MASTERS.includes(n) ? `mesos: { master: 'http://10.77.0.${101 + n}:5050' }` : ''}
stateDir: /var/lib/spartan
`

const mesosDns = (n: number): string =>
  JSON.stringify({
    masters: ['10.77.0.101:5050', '10.77.0.102:5050'],
    refreshSeconds: 1,
    port: 61_053,
    listener: address(n),
    httpListener: address(n),
    resolvers: ['10.77.0.53'],
  })

/** How the README makes a keyring: on one node, and then for another one. */
const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const [, generate = '', copy = ''] =
  /`(spartan keys generate)` on one, [^`]*`(ssh [^`]*)`/.exec(README) ?? []
const KEYRING = '/var/lib/spartan/keyring.json'

type Answer = { readonly at: number; readonly name: number; readonly what: string }

type Node = {
  readonly n: number
  readonly host: Host
  readonly machine: Machine
  readonly answers: Answer[]
  /** Its address now. */
  at: string
}

/** How often each outcome was. */
const counted = (answers: readonly Answer[]): string => {
  const counts = new Map<string, number>()
  for (const { what } of answers) counts.set(what, (counts.get(what) ?? 0) + 1)
  return [...counts]
    .sort()
    .map(([what, count]) => `${what}: ${count}`)
    .join('   ')
}

/** Starts the world, boots all nodes, and asks each of them from then on. */
const start = async (t: Test): Promise<{ nodes: Node[]; outside: ChildProcess }> => {
  const net = lab(t)
  const shared = layer(t, root => installInto(root))
  const hosts = Array.from({ length: NODES }, (_, n) => net.host(`node-${n}`, []))
  const outside = net.host('world', [])
  for (const n of [53, 101, 102, 111, 112, 113]) outside.sh(`ip addr add 10.77.0.${n}/24 dev eth0`)
  const file = join(t.testdir(), 'world.mjs')
  writeFileSync(file, world(join(import.meta.dirname, '../../dist')))
  const cluster = outside.start(process.execPath, [file])
  const nodes = await Promise.all(
    hosts.map(async (host, n) => {
      const prepare = (root: string): void => {
        writeFileSync(join(root, 'etc/spartan/spartan.yaml'), config(n))
        if (MASTERS.includes(n))
          writeFileSync(join(root, 'etc/spartan/mesos-dns.json'), mesosDns(n))
      }
      const machine = await boot(t, prepare, { name: host.name, netns: host.name, layer: shared })
      return { n, host, machine, answers: [], at: address(n) }
    }),
  )
  return { nodes, outside: cluster }
}

const ask = ({ host, answers }: Node): void => {
  const program = join(import.meta.dirname, 'fixture/asking.mjs')
  const child = host.start(process.execPath, [program, '198.51.100.1', JSON.stringify(NAMES)])
  createInterface({ input: child.stdout! }).on('line', line => {
    const [at = '', name = '', ...what] = line.split(' ')
    answers.push({ at: Number(at), name: Number(name), what: what.join(' ') })
  })
}

/** Repeats until `look` is true; throws what it saw last. */
const until = async (what: string, look: () => boolean | string): Promise<void> => {
  const end = performance.now() + PATIENCE_MS
  for (let last: boolean | string = false; ; await sleep(100)) {
    last = look()
    if (last === true) return
    if (performance.now() > end) throw new Error(`${what}: never; last ${last}`)
  }
}

/** What a node says of all members: name → state and address. */
const members = ({ host }: Node): Map<string, string> => {
  const { out } = host.try('curl', ['-s', '-m', '5', 'http://127.0.0.1:62080/v1/members'])
  try {
    const list = JSON.parse(out) as { name: string; address: string; state: string }[]
    return new Map(list.map(({ name, address: at, state }) => [name, `${state} ${at}`]))
  } catch {
    return new Map()
  }
}

const skip = cannotBoot() || missing('nft', 'curl')
t.test(
  'a ring of five machines answers rightly or honestly, whatever befalls one',
  { skip, timeout: 580_000 },
  async t => {
    const { nodes, outside } = await start(t)
    const [first] = nodes as [Node]
    const others = (node: Node): Node[] => nodes.filter(one => one !== node)
    const phases: { readonly name: string; readonly from: number; readonly to: number }[] = []
    t.teardown(() => {
      if (t.passing()) return
      for (const { n, machine } of nodes)
        t.comment(
          `node-${n}\n${machine.run("journalctl -u spartan -o cat | grep -vE 'listening|admin|masters are|packet i/o|resolve to' | tail -40").out}`,
        )
    })
    const ok = ({ machine }: Node, line: string): string => {
      const { status, out, err } = machine.run(line)
      if (status !== 0) throw new Error(`${line}: ${out}${err}`)
      return out
    }

    /** All nodes see all others alive, where they are. */
    const agreed = (): Promise<void> =>
      until('all see all', () => {
        const wanted = nodes
          .map(({ n, at }) => `node-${n} alive ${at}:7946`)
          .sort()
          .join()
        for (const node of nodes) {
          const seen = [...members(node)]
            .map(([name, what]) => `${name} ${what}`)
            .sort()
            .join()
          if (seen !== wanted) return `node-${node.n} sees ${seen}`
        }
        return true
      })
    /** Every name is answered rightly by every node, now. */
    const settled = (): Promise<void> => {
      const since = Date.now()
      return until('all is answered', () => {
        for (const { n, answers } of nodes)
          for (const [name, [asked]] of NAMES.entries()) {
            const last = answers.findLast(one => one.name === name)
            if (!last || last.at < since || last.what !== 'right')
              return `node-${n} on ${asked}: ${last?.what ?? 'not asked'}`
          }
        return true
      })
    }
    const phase = async (name: string, act: () => Promise<void>): Promise<void> => {
      const from = Date.now()
      await act()
      await agreed()
      await settled()
      phases.push({ name, from, to: Date.now() })
      t.comment(`${name}: ${Math.round((Date.now() - from) / 1000)} s`)
    }
    const shown = (node: Node, states: RegExp): Promise<void> =>
      until(`node-${node.n} is ${states}`, () =>
        others(node).every(one => states.test(members(one).get(`node-${node.n}`) ?? '')),
      )

    for (const node of nodes)
      ok(
        node,
        'systemd-sysusers spartan.conf && systemd-tmpfiles --create spartan.conf && systemctl daemon-reload',
      )
    ok(first, generate)
    const keyring = readFileSync(join(first.machine.root, KEYRING))
    for (const node of others(first)) {
      writeFileSync(join(node.machine.root, 'root/from-the-first'), keyring)
      const there = copy.replace(/^ssh \S+ /, '').replace(`<${KEYRING}`, '</root/from-the-first')
      t.match(there, /^install .*<\/root/, 'the README copies it')
      ok(node, there)
    }
    for (const node of nodes) ok(node, 'systemctl start --no-block spartan')
    for (const n of MASTERS) ok(nodes[n]!, 'systemctl start --no-block spartan-mesos-dns')
    for (const node of nodes) ask(node)
    await phase('start', async () => {})

    const pid = (node: Node): string => ok(node, 'systemctl show -P MainPID spartan').trim()
    const kill = (node: Node, signal: string): void =>
      void ok(node, `systemctl kill --kill-who=main -s ${signal} spartan`)

    await phase('keys replaced', async () => {
      const old = (JSON.parse(keyring.toString()) as string[])[0]!
      ok(first, 'spartan keys generate --print > /root/new.key')
      for (const what of ['install', 'use'])
        t.match(ok(first, `spartan keys ${what} - < /root/new.key`), /on 5 of 5 nodes/, what)
      t.match(ok(first, `echo ${old} | spartan keys remove -`), /on 5 of 5 nodes/, 'remove')
      const fresh = ok(first, 'cat /root/new.key').trim()
      for (const { n, machine } of nodes)
        t.same(JSON.parse(machine.run(`cat ${KEYRING}`).out), [fresh], `keyring of node-${n}`)
    })

    await phase('each killed', async () => {
      for (const node of nodes) {
        const before = pid(node)
        kill(node, 'KILL')
        await until('started again', () => !['0', before].includes(pid(node)))
      }
    })

    await phase('each frozen', async () => {
      for (const node of nodes) {
        kill(node, 'STOP')
        await shown(node, /^(suspect|dead)/)
        // The last one stays frozen until the watchdog ends it.
        if (node !== nodes.at(-1)) kill(node, 'CONT')
      }
    })

    await phase('each cut off', async () => {
      for (const node of nodes) {
        const filter = node.n % 2 === 1
        node.host.sh(
          filter
            ? 'nft "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add chain inet cut out { type filter hook output priority 0; }; add rule inet cut in iifname eth0 drop; add rule inet cut out oifname eth0 drop"'
            : 'ip link set eth0 down',
        )
        await shown(node, node.n === NODES - 1 ? /^dead/ : /^(suspect|dead)/)
        node.host.sh(filter ? 'nft delete table inet cut' : 'ip link set eth0 up')
      }
    })

    const move = (node: Node, to: string): void => {
      node.host.sh(`ip addr del ${node.at}/24 dev eth0; ip addr add ${to}/24 dev eth0`)
      node.at = to
      ok(node, 'systemctl restart --no-block spartan')
    }
    await phase('each moved', async () => {
      const [seed, last, ...rest] = nodes as [Node, Node, ...Node[]]
      for (const node of rest) move(node, `10.77.0.${node.n + 21}`)
      await agreed()
      // One seed after the other, and back, so that whoever starts later finds one.
      for (const node of [seed, last]) {
        move(node, `10.77.0.${node.n + 21}`)
        await agreed()
        move(node, address(node.n))
        await agreed()
      }
    })

    const canary = 'canary.marathon.agentip.dcos.thisdcos.directory'
    const drop = '/etc/systemd/system/spartan.service.d'
    const setClock = (node: Node, days: number): void => {
      ok(
        node,
        days === 0
          ? `rm -r ${drop}; systemctl daemon-reload; systemctl restart --no-block spartan`
          : `mkdir -p ${drop}; printf '[Service]\\nEnvironment=LD_PRELOAD=${FAKETIME} FAKETIME=${days > 0 ? '+' : ''}${days}d FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1\\n' > ${drop}/clock.conf; systemctl daemon-reload; systemctl restart --no-block spartan`,
      )
    }
    const clock = ({ host }: Node): number => {
      const { out } = host.try('curl', ['-s', 'http://127.0.0.1:62080/v1/status'])
      return out === '' ? NaN : (JSON.parse(out) as { at: number }).at - Date.now()
    }
    const days = [1, -1, 1, -1, 0]
    if (!existsSync(FAKETIME)) t.comment('SKIPPED: clocks: faketime is not installed')
    else {
      await phase('clocks a day off', async () => {
        for (const node of nodes) if (days[node.n] !== 0) setClock(node, days[node.n]!)
        for (const node of nodes)
          await until(
            `the clock of node-${node.n}`,
            () => Math.abs(clock(node) - days[node.n]! * DAY_MS) < DAY_MS / 4,
          )
      })
      await phase('the other master leads, a day behind', async () => {
        outside.kill('SIGUSR2')
        outside.kill('SIGHUP')
        for (const node of nodes)
          await node.machine.until(
            `spartan query ${canary} A --short --server 198.51.100.1 | grep -q 10.77.0.111`,
          )
      })
      await phase('clocks right again', async () => {
        for (const node of nodes) if (days[node.n] !== 0) setClock(node, 0)
        for (const node of nodes)
          await until(`the clock of node-${node.n}`, () => Math.abs(clock(node)) < DAY_MS / 4)
      })
    }

    for (const { name, from, to } of phases)
      t.comment(
        `${name}\n${nodes.map(({ n, answers }) => `  node-${n}  ${counted(answers.filter(({ at }) => at >= from && at < to))}`).join('\n')}`,
      )
    for (const [index, [name]] of NAMES.entries())
      t.comment(
        `${name}\n${nodes.map(({ n, answers }) => `  node-${n}  ${counted(answers.filter(one => one.name === index))}`).join('\n')}`,
      )
    /** In which phase it was, and how long after its begin. */
    const when = (at: number): string => {
      const phase = phases.find(({ from, to }) => at >= from && at < to)
      return phase ? `${phase.name}, ${((at - phase.from) / 1000).toFixed(1)} s` : 'between'
    }
    for (const { n, answers } of nodes)
      for (const [index, [name]] of NAMES.entries()) {
        const bad = answers.filter(
          one => one.name === index && !/^(right|none|servfail \d.*)$/.test(one.what),
        )
        t.same(
          bad.map(({ at, what }) => `node-${n}, ${name}: ${what} (${when(at)})`),
          [],
          `node-${n}, ${name}`,
        )
      }
  },
)
