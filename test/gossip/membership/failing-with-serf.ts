/**
 * Our members and the real serf fail, pause, leave and return. These tests need real seconds, so they run
 * concurrently.
 */
import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  agent,
  lane,
  NO_SERF,
  ours,
  serfInstalled,
  statusOf,
  troubles,
  until,
} from './fixture/serf.ts'

const skip = serfInstalled() ? false : NO_SERF
const at = await lane(t, 2)
t.jobs = 10
/** Source address of serf's TCP connections, which it does not bind. */
const DIALLING = '127.0.0.1'
const story = (
  name: string,
  third: number,
  body: (t: Test, address: (n: number) => string) => Promise<void>,
): void => {
  void t.test(name, { skip }, t => body(t, at(third)))
}

story('a serf that is paused is suspected by us, and refutes when it goes on', 40, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  const third = await ours(t, 'third', a(3), { seeds: [serf.at] })
  t.ok(
    await until(
      () =>
        we.state('s1') === 'alive' &&
        third.state('s1') === 'alive' &&
        we.state('third') === 'alive',
    ),
  )
  serf.process.kill('SIGSTOP')
  t.ok(await until(() => we.state('s1') === 'suspect' && third.state('s1') === 'suspect'))
  serf.process.kill('SIGCONT')
  t.ok(await until(() => we.state('s1') === 'alive' && third.state('s1') === 'alive'))
  t.match(serf.log(), /Refuting a suspect message/)
  t.notOk(we.events.some(event => event.type === 'dead'))
})

story(
  'a serf that is killed is dead to us, and a new one in its place is alive',
  41,
  async (t, a) => {
    const serf = await agent(t, 's1', a(1))
    const other = await agent(t, 's2', a(3), { join: serf.at })
    const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
    t.ok(await until(() => we.state('s1') === 'alive' && we.state('s2') === 'alive'))
    serf.process.kill('SIGKILL')
    t.ok(await until(() => we.state('s1') === 'dead'))
    t.same(
      we.events
        .filter(event => 'member' in event && event.member.name === 's1')
        .map(event => event.type),
      ['join', 'suspect', 'dead'],
    )
    // serf's incarnations start at 1 again
    const again = await agent(t, 's1', a(1), { join: other.at })
    t.ok(await until(() => we.state('s1') === 'alive'))
    t.ok(await until(async () => (await statusOf(again, 'we')) === 'alive'))
  },
)

story(
  'we are failed to a serf when we are gone without a word, and alive when we are back',
  42,
  async (t, a) => {
    const serf = await agent(t, 's1', a(1))
    const other = await agent(t, 's2', a(3), { join: serf.at })
    const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
    t.ok(
      await until(
        async () =>
          (await statusOf(serf, 'we')) === 'alive' && (await statusOf(other, 'we')) === 'alive',
      ),
    )
    await we.ring.close()
    t.ok(
      await until(
        async () =>
          (await statusOf(serf, 'we')) === 'failed' && (await statusOf(other, 'we')) === 'failed',
      ),
    )
    const back = await ours(t, 'we', a(2), { seeds: [other.at] })
    t.ok(
      await until(
        async () =>
          (await statusOf(serf, 'we')) === 'alive' && (await statusOf(other, 'we')) === 'alive',
      ),
    )
    t.ok(await until(() => back.state('s1') === 'alive'))
  },
)

story('whoever leaves has left, both ways, and may come back', 43, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const other = await agent(t, 's2', a(3), { join: serf.at })
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  t.ok(
    await until(
      async () => we.state('s2') === 'alive' && (await statusOf(other, 'we')) === 'alive',
    ),
  )
  t.match(await other.command('leave'), { ok: true })
  t.ok(await until(() => we.state('s2') === 'left'))
  t.notOk(we.events.some(event => event.type === 'suspect' || event.type === 'dead'))
  await agent(t, 's2', a(4), { join: we.at })
  t.ok(await until(() => we.state('s2') === 'alive'), 'at another address')
  t.equal(we.ring.members().find(one => one.name === 's2')?.address, a(4))
  await we.ring.leave()
  t.ok(await until(async () => (await statusOf(serf, 'we')) === 'left'))
  t.notMatch(serf.log(), /EventMemberFailed: we/)
  await ours(t, 'we', a(5), { seeds: [serf.at] })
  t.ok(await until(async () => (await statusOf(serf, 'we')) === 'alive'))
  t.equal((await serf.members()).get('we')?.addr, `${a(5)}:7946`)
})

story('force-leave turns failed into left, both ways', 44, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  const lost = [
    await ours(t, 'lost1', a(3), { seeds: [serf.at] }),
    await ours(t, 'lost2', a(4), { seeds: [serf.at] }),
  ]
  t.ok(
    await until(
      async () =>
        we.state('lost1') === 'alive' &&
        we.state('lost2') === 'alive' &&
        (await serf.members()).size === 4,
    ),
  )
  for (const one of lost) await one.ring.close()
  t.ok(
    await until(
      async () =>
        we.state('lost1') === 'dead' &&
        we.state('lost2') === 'dead' &&
        (await statusOf(serf, 'lost1')) === 'failed' &&
        (await statusOf(serf, 'lost2')) === 'failed',
    ),
  )
  await serf.command('force-leave', 'lost1')
  t.ok(await until(() => we.state('lost1') === 'left'))
  we.ring.forceLeave('lost2')
  t.ok(await until(async () => (await statusOf(serf, 'lost2')) === 'left'))
  t.equal(we.state('lost2'), 'left')
})

story("a serf that UDP does not reach is kept by TCP, and by others' pings", 45, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  t.ok(
    await until(async () => we.state('s1') === 'alive' && (await statusOf(serf, 'we')) === 'alive'),
  )
  we.body.passes = (_, how) => how === 'tcp'
  t.ok(await until(() => we.ring.stats().counters.probesByTcp >= 2))
  t.ok(
    await until(() => serf.log().includes('Was able to connect to we')),
    'serf keeps us the same way',
  )
  t.equal(we.state('s1'), 'alive')
  t.equal(await statusOf(serf, 'we'), 'alive')
  // through a third member that reaches both, pings are relayed
  we.body.passes = () => true
  const third = await ours(t, 'third', a(3), { seeds: [serf.at] })
  t.ok(await until(() => third.state('we') === 'alive' && we.state('third') === 'alive'))
  we.body.passes = other => other.address !== a(1) && other.address !== DIALLING
  const before = we.ring.stats().counters.probesFailed
  await sleep(6_000)
  t.equal(we.ring.stats().counters.probesFailed, before)
  t.equal(we.state('s1'), 'alive')
  t.equal(await statusOf(serf, 'we'), 'alive')
})

story('a ring cut between serfs and us heals within a minute', 46, async (t, a) => {
  const first = await agent(t, 's1', a(1))
  const second = await agent(t, 's2', a(2), { join: first.at })
  const us = [
    await ours(t, 'o1', a(11), { seeds: [first.at] }),
    await ours(t, 'o2', a(12), { seeds: [first.at] }),
  ]
  const whole = async (): Promise<boolean> =>
    us.every(one => one.ring.members().filter(member => member.state === 'alive').length === 4) &&
    (
      await Promise.all(
        [first, second].map(async one =>
          [...(await one.members()).values()].every(member => member.status === 'alive'),
        ),
      )
    ).every(Boolean)
  t.ok(await until(async () => (await first.members()).size === 4 && whole()))
  for (const one of us) one.body.passes = other => ![a(1), a(2), DIALLING].includes(other.address)
  t.ok(
    await until(
      async () =>
        us.every(one => one.state('s1') === 'dead' && one.state('s2') === 'dead') &&
        (await statusOf(first, 'o1')) === 'failed' &&
        (await statusOf(second, 'o2')) === 'failed',
      60_000,
    ),
  )
  t.ok(us.every(one => one.state('o1') === 'alive' && one.state('o2') === 'alive'))
  for (const one of us) one.body.passes = () => true
  t.ok(await until(whole, 60_000))
})

story('we are suspected, and refute, when it is us who stand still', 47, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const other = await agent(t, 's2', a(3), { join: serf.at })
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  t.ok(
    await until(
      async () => we.state('s2') === 'alive' && (await statusOf(other, 'we')) === 'alive',
    ),
  )
  we.body.passes = () => false
  t.ok(await until(() => /Suspect we has failed/.test(serf.log() + other.log())))
  we.body.passes = () => true
  t.ok(await until(() => we.ring.stats().counters.refutations > 0))
  t.ok(
    await until(
      async () =>
        (await statusOf(serf, 'we')) === 'alive' && (await statusOf(other, 'we')) === 'alive',
    ),
  )
  t.same(troubles(serf, /fallback|Push\/Pull|push\/pull|UDP|network may be/), [])
})

story(
  'a serf that takes the name of another one is voted out, with our voices',
  48,
  async (t, a) => {
    const serf = await agent(t, 's1', a(1))
    const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
    const third = await ours(t, 'third', a(3), { seeds: [serf.at] })
    t.ok(
      await until(
        async () =>
          we.state('s1') === 'alive' &&
          third.state('s1') === 'alive' &&
          (await serf.members()).size === 3,
      ),
    )
    const twin = await agent(t, 's1', a(4), { join: we.at })
    t.ok(await until(() => twin.log().includes('minority in name conflict resolution')))
    t.ok(await until(() => we.events.some(event => event.type === 'conflict')))
    t.equal(we.ring.members().find(one => one.name === 's1')?.address, a(1))
    t.equal(serf.process.exitCode, null, 'the first one stays')
    t.ok(await until(() => we.state('s1') === 'alive'))
  },
)
