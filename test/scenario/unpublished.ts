/** Zones that the gossip carries, before a master's node has published them: late, or of nobody. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startCluster } from '../../src/demo/cluster/cluster.ts'
import { freePort, ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon, type Daemon, type Settings } from '../fixture/daemon.ts'

const APEXES = ['dcos.thisdcos.directory', 'mesos.thisdcos.directory']
const NAMES = [
  'web.marathon.agentip.dcos.thisdcos.directory',
  'web.marathon.mesos.thisdcos.directory',
]

const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await sleep(50)
}

/** Two daemons in one ring that are in step; the first one has further settings. */
const pair = async (t: Test, settings: Settings): Promise<readonly [Daemon, Daemon]> => {
  const port = 7946
  const [first, second] = [ownAddress(), ownAddress()]
  const seeds = [first]
  const one = await daemon(t, {
    node: 'first',
    gossip: { bind: `${first}:${port}`, seeds, insecure: true },
    ...settings,
  })
  const other = await daemon(t, {
    node: 'second',
    gossip: { bind: `${second}:${port}`, seeds, insecure: true },
  })
  await other.until('gossip is in step')
  return [one, other]
}
const said = async (d: Daemon, name: string): Promise<string> => {
  const { status, ede } = await ask(d.at, name, 'A', { edns: {} })
  return [status, ...ede.map(({ code }) => code)].join(' ')
}

t.test(
  'with a master in the ring, names of its zones are unknown until it has published them',
  async t => {
    const master = ownAddress()
    const port = await freePort([master])
    const nodes = await pair(t, {
      mesos: { master: `http://${master}:${port}`, leaderOnly: false },
    })
    for (const d of nodes) for (const name of NAMES) t.equal(await said(d, name), 'SERVFAIL 14')
    t.match(JSON.stringify((await nodes[1].status())['health']), /dcos.thisdcos.directory/)
    const cluster = await startCluster({
      masters: [{ address: master, port }],
      agents: [{ address: ownAddress(), port: 0 }],
      now: Date.now,
      random: () => 0.5,
    })
    t.teardown(() => cluster.close())
    for (const d of nodes) {
      for (const name of NAMES) await until(async () => (await said(d, name)) === 'NOERROR')
      for (const apex of APEXES) t.equal(await said(d, `nothing.${apex}`), 'NXDOMAIN', apex)
    }
  },
)

t.test('without a master in the ring, they do not exist', async t => {
  for (const d of await pair(t, {}))
    for (const name of NAMES) {
      await until(async () => (await said(d, name)) !== 'SERVFAIL 14')
      t.equal(await said(d, name), 'NXDOMAIN')
    }
})
