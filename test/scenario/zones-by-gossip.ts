/**
 * The zones of 10,000 tasks with dotted names and three named ports each, on five real daemons that know them by gossip
 * alone: record by record what the daemon behind the Mesos master has. `npm run bench -- --cases zones` measures it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ZoneCluster } from '../../scripts/bench/zones/cluster.ts'
import { freePort, ownAddresses } from '../fixture/address.ts'
import { PROGRAM } from '../fixture/daemon.ts'

const TASKS = Number(process.env['TASKS'] ?? 10_000)
const AGENTS = 5
t.setTimeout(600_000)

t.test(`both zones of ${TASKS} tasks on ${AGENTS} agents by gossip alone`, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'spartan-zones-'))
  const addresses = ownAddresses(1 + AGENTS)
  const cluster = new ZoneCluster({
    ...{ program: PROGRAM, dir, tasks: TASKS, addresses },
    port: await freePort(addresses),
  })
  t.teardown(async () => {
    await cluster.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const equal = async (says: string): Promise<void> => {
    const wanted = await cluster.first.sum()
    t.ok(Number.parseInt(wanted) > 10 * TASKS, wanted)
    for (const agent of cluster.agents) t.equal(await agent.sum(), wanted, says)
  }
  t.comment(`${await cluster.begin()} octets in the gossip`)

  const agents = Array.from({ length: AGENTS }, (_, i) => cluster.join(i + 1))
  await Promise.all(
    agents.map(async agent => {
      await cluster.whole(agent)
      t.comment(`whole ${Math.round(performance.now() - agent.joinedAt)} ms after its gossip began`)
    }),
  )
  await equal('after a cold join of all')

  const times = await cluster.event()
  t.equal(times.length, 1 + AGENTS)
  t.comment(`one event: ${times.map(Math.round).join(', ')} ms, the master's node first`)

  await cluster.leave(AGENTS, 'SIGKILL')
  await cluster.whole(cluster.join(AGENTS))
  await equal('after an event, and after one was killed and came back with nothing')
  for (const agent of cluster.agents) {
    const { sent, received } = await agent.octets()
    t.comment(`${agent.address} sent ${sent} octets and received ${received}`)
  }
})
