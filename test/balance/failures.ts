/**
 * What goes wrong under VIPs: an agent dies, the balancer is killed, somebody flushes the rules, a backend of UDP goes.
 * Three agents as in tutorial.ts. Times are printed, not asserted.
 */
import type { ChildProcess } from 'node:child_process'
import t from 'tap'
import {
  agents,
  ask,
  ECHO,
  end,
  entry,
  monitors,
  step,
  stream,
  until,
  type Agent,
} from '../fixture/agents.ts'
import { missing } from '../fixture/netns.ts'

const skip = missing('nft', 'conntrack')
const DOMAIN = 'marathon.l4lb.thisdcos.directory'
/** New connections a second. `npm run tutorial` has a machine to itself. */
const RATE = process.env['TUTORIAL'] ? 500 : 100

/** A step, and its figure, also for the reader of the test's output. */
const figure = (t: { comment(text: string): void }, text: string): void => {
  t.comment(text)
  step(`  ${text}`)
}

t.test('VIPs survive what goes wrong', { skip, timeout: 900_000 }, async t => {
  const { all } = agents(t, 3, {
    balance: n => (n === 1 ? { prefer: 'local', affinity: 'client' } : {}),
  })
  const [one, two, three] = all as [Agent, Agent, Agent]
  const { ip } = three
  for (const [name, agent] of [
    ['one', one],
    ['three', three],
  ] as const)
    agent.start(process.execPath, [ECHO, 'serve', name, '7001', '7200', '7300'])
  three.vips(entry('/echo:80', 'tcp', `${ip}:7001`))
  const reaches = (host: Agent, vip: string, backend: string): boolean =>
    ask(host, 'tcp', `${vip}.${DOMAIN}`, 80)[backend] === 1
  await until('the first connection', () => reaches(two, 'echo', 'three:7001'))

  await t.test('balance.prefer: local, and balance.affinity: client', async t => {
    step('agent 1 prefers its own backends, and leads each client to one backend')
    const vips = (weight: number): void =>
      one.vips(
        `  - { vip: /near:80, backends: ["${ip}:7001", "${ip}:7200", { address: "${one.ip}:7001", weight: ${weight} }] }\n`,
      )
    const near = `near.${DOMAIN}`
    const from = (host: Agent): string[] => Object.keys(ask(host, 'tcp', near, 80, 60, 4)).sort()
    vips(1)
    await until('all from agent 2', () => {
      return from(two).join() === 'one:7001,three:7001,three:7200'
    })
    await until('its own from agent 1', () => from(one).join() === 'one:7001')
    vips(0)
    const other = await until('another', () => {
      const [seen = '', ...more] = from(one)
      return more.length === 0 && seen.startsWith('three:') && seen
    })
    t.same(from(one), [other], 'one client, one backend')
    await until('both from agent 2', () => from(two).join() === 'three:7001,three:7200')
    t.pass('without a preference, all')
  })

  await t.test('a flush by somebody else is mended, and other rules stay', async t => {
    step('somebody deletes our table, then flushes all rules, on agent 2')
    const mended = (): number =>
      Number(/^spartan_balance_mended_total (\d+)/m.exec(metrics(two))?.[1] ?? 0)
    two.sh('nft add table ip theirs')
    for (const command of ['delete table ip spartan_balance', 'flush ruleset']) {
      const before = mended()
      const began = Date.now()
      two.sh(`nft ${command}`)
      await until('rules again', () => two.rules().includes('goto tcp'))
      figure(t, `after nft ${command}, rules are back within ${Date.now() - began} ms`)
      t.ok(reaches(two, 'echo', 'three:7001'))
      await until('it is counted', () => mended() > before)
      const theirs = two.try('nft', ['list', 'table', 'ip', 'theirs']).status === 0
      t.equal(theirs, command !== 'flush ruleset', 'their table is theirs')
    }
  })

  await t.test('kill -9 and a restart cost no connection; --cleanup leaves nothing', async t => {
    step(`kill -9 of the balancer under ${RATE} new connections a second, a restart, and --cleanup`)
    two.sh('nft add table ip theirs')
    const connections = stream(two, `echo.${DOMAIN}`, 80, RATE)
    const count = (): number => connections.seen()['three:7001']?.count ?? 0
    let child: ChildProcess = two.balancer
    for (let times = 0; times < 2; times++) {
      await until('its monitor', () => monitors(two).length === 1)
      const before = count()
      await until('connections with it', () => count() > before + RATE / 2)
      await end(child, 'SIGKILL')
      t.ok(two.rules(), 'the rules stay')
      await until('its monitor ended with it', () => monitors(two).length === 0)
      const began = replaced(two)
      child = two.balance()
      await until('the rules are replaced', () => replaced(two) !== began && replaced(two) === 1)
    }
    const seen = await connections.stop()
    figure(
      t,
      `${seen['three:7001']?.count} connections, of which failed: ${Object.keys(seen).length - 1}`,
    )
    t.same(Object.keys(seen), ['three:7001'])
    await end(child, 'SIGTERM')
    t.ok(two.rules())
    t.match(two.sh('ip route'), /11\.0\.0\.0\/8 dev lo/)
    t.match(two.spartan('balance', '--cleanup', '--config', two.config), { status: 0, error: '' })
    t.equal(two.sh('nft list ruleset').trim(), 'table ip theirs {\n}')
    t.notMatch(two.sh('ip route; ip -6 route'), /proto 178|11\.0\.0\.0|fd01:c::/)
    two.balance()
    await until('and all is there again', () => reaches(two, 'echo', 'three:7001'))
  })

  await t.test('a socket of UDP follows its backend, also to nowhere and back', async t => {
    step('one socket of UDP: its backend drains, then moves, then none is left')
    const talk = `/talk:80`
    const drained = (weight: number): string =>
      `  - { vip: ${talk}, protocol: udp, backends: [{ address: "${ip}:7200", weight: ${weight} }, "${ip}:7300"] }\n`
    three.vips(entry(talk, 'udp', `${ip}:7200`))
    const to = await until('the name', () =>
      two.spartan('query', `talk.${DOMAIN}`, 'A', '--server', '198.51.100.1', '--short').out.trim(),
    )
    const child = two.start(process.execPath, [ECHO, 'talk', to, '80'])
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', (part: string) => (said += part))
    const hears = async (what: RegExp): Promise<void> => {
      await until(String(what), () => what.test(said.trimEnd().split('\n').at(-1) ?? ''))
      t.pass(`the socket hears ${what}`)
    }
    await hears(/^three:7200$/)
    three.vips(drained(0))
    await hears(/^three:7300$/)
    three.vips(entry(talk, 'udp', `${one.ip}:7001`))
    await hears(/^one:7001$/)
    three.vips()
    await hears(/^EPERM|ECONNREFUSED$/)
    three.vips(entry(talk, 'udp', `${ip}:7200`))
    await hears(/^three:7200$/)
    await end(child, 'SIGKILL')
  })

  await t.test("a dead agent's backends get nothing, unless all agents are dead", async t => {
    step('two agents announce the same VIP; agent 3 is killed, and then agent 1')
    for (const agent of [one, three]) agent.vips(entry('/both:80', 'tcp', `${agent.ip}:7200`))
    const both = `both.${DOMAIN}`
    const seen = (): string =>
      Object.keys(ask(two, 'tcp', both, 80, 40, 4))
        .sort()
        .join()
    await until('both', () => seen() === 'one:7200,three:7200')
    const connections = stream(two, both, 80, RATE)
    await until('a connection to agent 3', () => connections.seen()['three:7200'])
    const killed = Date.now()
    for (const child of [three.daemon, three.balancer]) await end(child, 'SIGKILL')
    await until('agent 3 is dead', () => seen() === 'one:7200')
    const times = await connections.stop()
    figure(
      t,
      `the last connection went to agent 3 ${((times['three:7200']!.last - killed) / 1_000).toFixed(1)} s after its death`,
    )
    t.same(Object.keys(times).sort(), ['one:7200', 'three:7200'], 'none failed')
    for (const child of [one.daemon, one.balancer]) await end(child, 'SIGKILL')
    await until('both agents are dead', () => {
      const { out } = two.spartan('members', '--config', two.config)
      return [1, 3].every(n => new RegExp(`agent-${n}\\b.*\\bdead`).test(out))
    })
    await until('the kernel has both', () =>
      [one, three].every(({ ip }) => two.rules().includes(`: ${ip} . 7200`)),
    )
    t.equal(seen(), 'one:7200,three:7200', 'they may well be up: the last ones are used')
  })
})

/** The daemon's metrics. */
const metrics = (agent: Agent): string =>
  agent.sh(
    `curl -s --unix-socket ${agent.config.replace('spartan.yaml', 'admin.sock')} http://spartan/metrics`,
  )
const replaced = (agent: Agent): number =>
  Number(/^spartan_balance_replacements_total (\d+)/m.exec(metrics(agent))?.[1] ?? -1)
