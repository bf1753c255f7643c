import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { createProgram } from '../../src/cli/program.ts'
import { AGENT_METRICS } from '../fixture/metrics.ts'

const ROOT = join(import.meta.dirname, '../..')
const DEPLOY = join(ROOT, 'deploy')
const read = (name: string): string => readFileSync(join(DEPLOY, name), 'utf8')
const UNITS = readdirSync(DEPLOY).filter(name => /\.(service|socket|timer)$/.test(name))
/** Whether a program is there to be run. */
const has = (program: string, flag = '--version'): boolean =>
  spawnSync(program, [flag]).error === undefined

/** Section → directive → values, as systemd reads a unit. */
const directives = (name: string): Map<string, Map<string, string[]>> => {
  const sections = new Map<string, Map<string, string[]>>()
  let section = new Map<string, string[]>()
  for (const line of read(name).replaceAll('\\\n', ' ').split('\n')) {
    const title = /^\[(\w+)\]$/.exec(line)?.[1]
    const [, key, value] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? []
    if (title) sections.set(title, (section = new Map<string, string[]>()))
    else if (key) section.set(key, [...(section.get(key) ?? []), value ?? ''])
    else if (line !== '' && !line.startsWith('#'))
      throw new Error(`${name}: neither comment nor directive: ${line}`)
  }
  return sections
}
const values = (name: string, section: string, key: string): string[] =>
  directives(name).get(section)?.get(key) ?? []

const addresses = (parse(read('spartan.yaml')) as { listen: { addresses: string[] } }).listen
  .addresses

t.test('every unit opens with what it is for and explains each group of directives', async t => {
  t.ok(UNITS.length >= 6)
  for (const name of UNITS) {
    const text = read(name)
    t.match(text, /^# [A-Z]/, `${name} opens with a comment`)
    const body = /^\[(?:Service|Socket)\]\n([^]*?)(?=\n\[)/m.exec(`${text}\n[`)?.[1] ?? ''
    for (const group of body.trim().split('\n\n'))
      if (group) t.match(group, /^#/m, `${name}: ${group.split('\n')[0]}`)
  }
})

t.test('what the units rely on is so', async t => {
  const service = (key: string): string[] => values('spartan.service', 'Service', key)
  t.strictSame(service('Type'), ['notify'])
  t.strictSame(service('Restart'), ['always'])
  t.strictSame(values('spartan.service', 'Unit', 'StartLimitIntervalSec'), ['0'])
  t.strictSame(service('AmbientCapabilities'), ['CAP_NET_BIND_SERVICE'])
  t.match(service('ExecReload')[0], /-HUP \$MAINPID/)
  for (const name of UNITS) {
    if (read(name).includes('/usr/bin/spartan '))
      t.strictSame(
        values(name, 'Service', 'MemoryDenyWriteExecute'),
        [],
        `${name}: V8 must be able to compile`,
      )
    const page = name === 'spartan-mesos-dns.service' ? 'spartan-mesos-dns' : 'spartan'
    t.strictSame(values(name, 'Unit', 'Documentation'), [`man:${page}(8)`], name)
  }
})

t.test('the handover may do what the forwarder may, on the same sockets', async t => {
  const of = (name: string) => directives(name).get('Service')!
  const [service, handover] = [of('spartan.service'), of('spartan-handover.service')]
  // Life and state are its own: it is ended from outside, watches over nothing, and writes no state.
  const own =
    /^(Exec|Restart|Watchdog|Timeout|RuntimeMax|StateDirectory|RuntimeDirectory|ConfigurationDirectory|Sockets)/
  for (const key of new Set([...service.keys(), ...handover.keys()]))
    if (!own.test(key)) t.strictSame(handover.get(key), service.get(key), key)
  t.strictSame(handover.get('Sockets'), ['spartan.socket'])
  t.strictSame(
    handover.get('StateDirectory'),
    undefined,
    'ProtectSystem=strict keeps it from all state',
  )
  t.match(handover.get('RuntimeMaxSec'), ['30s'], 'it ends whatever becomes of the new process')
  t.strictSame(values('spartan-handover.service', 'Unit', 'Requires'), ['spartan.socket'])
  t.strictSame(values('spartan-handover.service', 'Unit', 'StartLimitIntervalSec'), ['0'])
})

t.test('sockets, addresses and the configuration agree', async t => {
  const wanted = addresses.map(address => `${address}:53`)
  t.strictSame(values('spartan.socket', 'Socket', 'ListenDatagram'), wanted)
  t.strictSame(values('spartan.socket', 'Socket', 'ListenStream'), wanted)
  t.strictSame(values('spartan.socket', 'Socket', 'FreeBind'), ['yes'])
  const environment = values('spartan-addresses.service', 'Service', 'Environment').join(' ')
  const made = /SPARTAN_ADDRESSES=([^"]*)"/.exec(environment)?.[1]?.split(' ') ?? []
  t.strictSame(
    made.slice(0, 3),
    addresses.map(address => `${address}/32`),
  )
  t.ok(read('spartan-addresses.sh').includes(made.join(' ')), 'the script has the same by default')
})

t.test('every command line of the units is one that the program takes', async t => {
  const program = await createProgram({} as Parameters<typeof createProgram>[0], () => {})
  const lines = UNITS.flatMap(name =>
    ['ExecStartPre', 'ExecStart', 'ExecReload', 'ExecStop', 'ExecStopPost'].flatMap(key =>
      values(name, 'Service', key),
    ),
  )
  const ours = lines.filter(line => line.includes('/usr/bin/spartan '))
  t.ok(ours.length >= 4)
  for (const line of ours) {
    const [name, ...rest] = line.slice(line.indexOf('spartan ') + 8).split(' ')
    const command = program.commands.find(c => c.name() === name)
    t.ok(command, line)
    for (const option of rest.filter(word => word.startsWith('--'))) {
      t.ok(
        command?.options.some(o => o.long === option),
        `${name} ${option}`,
      )
    }
  }
})

t.test(
  'systemd-analyze has nothing to say',
  { skip: !has('systemd-analyze') && 'SKIPPED: systemd-analyze is not installed' },
  async t => {
    const dir = t.testdir()
    for (const name of UNITS) {
      const text = read(name).replace(
        /\/(usr\/bin\/spartan|usr\/lib\/spartan\/spartan-(addresses|stop)\.sh)\b/g,
        '/bin/true',
      )
      writeFileSync(join(dir, name), text.replace(/^Documentation=.*$/m, ''))
    }
    const { stderr } = spawnSync(
      'systemd-analyze',
      ['verify', ...UNITS.map(name => join(dir, name))],
      { encoding: 'utf8' },
    )
    // Complaints about other units of this machine are not ours to fix.
    t.strictSame(
      stderr.split('\n').filter(line => line.includes('spartan')),
      [],
    )
  },
)

t.test(
  'every service has an exposure of 2.0 at most',
  { skip: !has('systemd-analyze') && 'SKIPPED: systemd-analyze is not installed' },
  async t => {
    for (const name of UNITS.filter(unit => unit.endsWith('.service'))) {
      const { status, stdout, stderr } = spawnSync(
        'systemd-analyze',
        ['security', '--offline=true', '--threshold=20', '--no-pager', join(DEPLOY, name)],
        { encoding: 'utf8' },
      )
      t.match(stdout, /exposure level/, `${name} is looked at`)
      t.equal(status, 0, `${name}: ${stdout.trim().split('\n').at(-1)}${stderr}`)
    }
  },
)

const cannotUnshare = spawnSync('unshare', ['-n', 'ip', '-V']).status !== 0
t.test(
  'spartan-addresses.sh makes the addresses, and does no harm twice',
  { skip: cannotUnshare && 'SKIPPED: needs root, unshare and iproute2' },
  async t => {
    const script = join(DEPLOY, 'spartan-addresses.sh')
    // Its own network namespace: nothing of this host changes.
    const out = execFileSync(
      'unshare',
      [
        '-n',
        'sh',
        '-euc',
        `ip link set lo up; ${script}; ip address del 198.51.100.2/32 dev spartan 2>/dev/null || ip address del 198.51.100.2/32 dev lo; ${script}; ${script}; ip -j address`,
      ],
      { encoding: 'utf8' },
    )
    const links = JSON.parse(out.slice(out.indexOf('['))) as {
      ifname: string
      addr_info: { local: string; prefixlen: number }[]
    }[]
    const link = links.find(l => l.ifname === 'spartan') ?? links.find(l => l.ifname === 'lo')
    t.comment(`on ${link?.ifname}`)
    const got = link?.addr_info.map(a => `${a.local}/${a.prefixlen}`) ?? []
    for (const address of addresses)
      t.equal(got.filter(a => a === `${address}/32`).length, 1, address)
    if (existsSync('/proc/net/if_inet6')) t.ok(got.includes('fd01:d::c633:6401/128'))
  },
)

/** Every metric that an expression names, without labels and functions. */
const metricsIn = (expr: string): string[] =>
  expr.replace(/"[^"]*"/g, '').match(/\b(?:spartan|process|nodejs)_\w+/g) ?? []
const known = new Set(
  AGENT_METRICS.flatMap(({ name, type }) =>
    type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map(s => `spartan_${name}${s}`)
      : [`spartan_${name}`],
  ),
)
const labelsOf = new Map(AGENT_METRICS.map(({ name, labels }) => [name, labels]))

/** Labels that an expression selects or groups by, which its metrics must have. */
const labelsIn = (expr: string): string[] => [
  ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(m =>
    (m[1] ?? '').split(',').map(s => s.trim()),
  ),
  ...[...expr.matchAll(/(\w+)\s*=?[=~]\s*"/g)].map(m => m[1] ?? ''),
]

const checkExpr = (t: Test, expr: string, where: string): void => {
  const metrics = metricsIn(expr)
  for (const name of metrics)
    t.ok(known.has(name) || /^(process|nodejs)_/.test(name), `${where}: ${name} exists`)
  const labels = new Set([
    'instance',
    'job',
    'le',
    ...metrics.flatMap(
      name => labelsOf.get(name.replace(/^spartan_/, '').replace(/_(bucket|sum|count)$/, '')) ?? [],
    ),
  ])
  for (const label of labelsIn(expr)) t.ok(labels.has(label), `${where}: label ${label} exists`)
}

t.test('alerts name metrics and labels that exist, and say what to do', async t => {
  const { groups } = parse(read('prometheus/alerts.yaml')) as {
    groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[]
  }
  const rules = groups.flatMap(group => group.rules)
  t.ok(rules.length >= 12)
  t.equal(new Set(rules.map(rule => rule.alert)).size, rules.length)
  for (const { alert, expr, annotations } of rules) {
    checkExpr(t, expr, alert)
    t.ok(annotations['summary'] && annotations['description'], `${alert} is explained`)
  }
})

t.test(
  'promtool agrees, and the alerts fire when they should',
  { skip: !has('promtool') && 'SKIPPED: promtool is not installed' },
  async t => {
    const check = spawnSync(
      'promtool',
      ['check', 'rules', join(DEPLOY, 'prometheus/alerts.yaml')],
      { encoding: 'utf8' },
    )
    t.equal(check.status, 0, check.stderr)
    const tests = spawnSync(
      'promtool',
      ['test', 'rules', join(import.meta.dirname, 'alerts.test.yaml')],
      { encoding: 'utf8' },
    )
    t.equal(tests.status, 0, tests.stdout + tests.stderr)
  },
)

t.test('the board names metrics and labels that exist, and its panels do not overlap', async t => {
  type Panel = {
    id: number
    type: string
    title: string
    gridPos: { x: number; y: number; w: number; h: number }
    targets?: { expr: string }[]
  }
  const board = JSON.parse(read('grafana/spartan.json')) as { uid: string; panels: Panel[] }
  t.ok(board.panels.length >= 20)
  t.equal(new Set(board.panels.map(panel => panel.id)).size, board.panels.length)
  const taken = new Set<string>()
  for (const { title, gridPos, targets = [] } of board.panels) {
    for (const { expr } of targets) checkExpr(t, expr, title)
    let overlap = false
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        overlap ||= taken.has(`${x},${y}`) || x >= 24
        taken.add(`${x},${y}`)
      }
    }
    t.notOk(overlap, `${title} has its own place`)
  }
})
