/**
 * Both zones of 10,000 tasks with dotted names and three named ports, computed from Mesos's JSON by the daemon's own
 * code, on five nodes connected only by gossip. Records, limits and membership are real; network and clock are
 * virtual, so the times do not depend on the machine. A turn of the event loop counts as a millisecond.
 */
import t from 'tap'
import { mesosCopy } from '../../../src/control/mesos/mesos-copy.ts'
import type { ZoneChange, ZoneMap } from '../../../src/boundary/zone.ts'
import { defaultLimits } from '../../../src/gossip/records/types.ts'
import { emptyState } from '../../../src/mesos/api/model.ts'
import { messageFromJson, type MesosEvent } from '../../../src/mesos/api/operator-api.ts'
import { reduce } from '../../../src/mesos/api/reducer.ts'
import { inOneGo } from '../../../src/mesos/dcos-names/steps.ts'
import { TaskZone } from '../../../src/mesos/dcos-names/task-zone.ts'
import { subscribed, updated } from '../../fixture/mesos.ts'
import { bigCluster, bigTask } from '../../fixture/big-cluster.ts'
import { Cluster, DCOS, MESOS, sumOf } from './fixture/nodes.ts'

const TASKS = Number(process.env.TASKS ?? 10_000)
t.setTimeout(1_800_000)

const event = (json: object): MesosEvent => {
  const message = messageFromJson(json, '10.0.0.5:5050')
  if (message.kind !== 'event') throw new Error('no event')
  return message.event
}

t.test(`all of both zones of ${TASKS} tasks on five nodes`, async t => {
  const load = reduce({ state: emptyState, recovered: new Set() }, [
    event(subscribed(bigCluster(TASKS))),
  ])
  const dcos = new TaskZone(DCOS, 5)
  dcos.update(load.state, load.changed, false)
  const copy = mesosCopy({ masters: () => ['10.0.0.5'] })
  const source = new Map<string, ZoneChange & { kind: 'full' }>([
    [DCOS, { kind: 'full', zone: dcos.zone(), live: true }],
    [MESOS, inOneGo(copy.change(load.state, load.changed)) as ZoneChange & { kind: 'full' }],
  ])
  const sums = (zones: ReadonlyMap<string, ZoneMap>): string =>
    [DCOS, MESOS].map(apex => sumOf(zones.get(apex))).join()
  const wanted = (): string =>
    sums(new Map([...source].map(([apex, change]) => [apex, change.zone])))

  const cluster = new Cluster()
  t.teardown(() => cluster.close())
  const master = cluster.add()
  for (const [apex, change] of source) master.shared.publishZone(apex, change)
  await cluster.until(() => [DCOS, MESOS].every(apex => master.zone(apex).ours))
  await cluster.run(500)
  const octets = [DCOS, MESOS].map(apex => master.zone(apex).octets)
  const total = octets.reduce((a, b) => a + b, 0)
  t.comment(`octets ${octets.join(' + ')} of ${defaultLimits.zoneBytes}`)
  t.ok(total < defaultLimits.zoneBytes / 2, `${total} octets are less than half of the budget`)
  t.same(
    [DCOS, MESOS].map(apex => master.zone(apex).over),
    [false, false],
  )
  t.equal(master.sim.records.stats().waiting, 0)

  // four that know nothing join at once
  const joiners = Array.from({ length: 4 }, () => cluster.add([master.sim.at]))
  const whole = (): boolean =>
    joiners.every(node => [DCOS, MESOS].every(apex => node.zone(apex).whole))
  const ms = await cluster.until(whole)
  t.comment(`a cold join took ${ms} ms of virtual time`)
  t.ok(ms <= 5_000, `${ms} ms`)
  const made = wanted()
  for (const node of joiners) t.equal(sums(node.zones), made, 'equal to the master, name by name')

  // one event
  await cluster.run(3_000)
  const sent = (): number =>
    cluster.world.network.sent.reduce((sum, one) => sum + one.bytes + one.streamBytes, 0)
  const quiet = sent()
  await cluster.run(2_000)
  const idle = (sent() - quiet) / 2_000
  const before = sent()
  const next = reduce(load, [event(updated({ ...bigTask(7), state: 'TASK_FAILED' }))])
  dcos.update(next.state, next.changed, false)
  const { set, drop } = dcos.take()
  t.ok(drop.length > 10)
  master.shared.publishZone(DCOS, { kind: 'patch', set, drop, of: dcos.live })
  master.shared.publishZone(MESOS, inOneGo(copy.change(next.state, next.changed)))
  const counts = joiners.map(node => node.changes.length)
  const took = await cluster.until(() =>
    joiners.every((node, i) => node.changes.length === (counts[i] as number) + 2),
  )
  t.comment(`one event took ${took} ms of virtual time`)
  t.ok(took <= 300, `${took} ms`)
  await cluster.run(2_000)
  const cost = (sent() - before - idle * (2_000 + took)) / 5
  t.comment(`and ${Math.round(cost / 1_000)} kB per node`)
  const after = wanted()
  t.not(after, made)
  for (const node of joiners) t.equal(sums(node.zones), after)
})
