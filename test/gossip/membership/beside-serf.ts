/** Our members in a ring with the real serf: joining, tags, encryption, compression, keys, events. */
import t, { type Test } from 'tap'
import { generatedKey, Keyring, keyText } from '../../../src/gossip/keyring.ts'
import {
  agent,
  lane,
  NO_SERF,
  ours,
  run,
  serfInstalled,
  type SerfAgent,
  statusOf,
  troubles,
  until,
} from './fixture/serf.ts'

const skip = serfInstalled() ? false : NO_SERF
const at = await lane(t, 1)
/** All lanes share ::1. */
const PORT = 17_000 + (process.pid % 1_000) * 8
const story = (
  name: string,
  third: number,
  body: (t: Test, address: (n: number) => string) => Promise<void>,
): void => {
  void t.test(name, { skip }, t => body(t, at(third)))
}
/** The tests run concurrently, because they mostly wait. */
t.jobs = 4
const noErrors = (t: Test, ...agents: readonly SerfAgent[]): void => {
  for (const one of agents) t.same(troubles(one), [], `${one.name} logs no errors`)
}

story("we join a serf by dialling it, and see each other's tags", 10, async (t, a) => {
  const serf = await agent(t, 's1', a(1), { args: ['-tag', 'role=web', '-tag', 'dc=ä'] })
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  t.ok(await until(() => we.state('s1') === 'alive'))
  t.same(we.ring.members().find(one => one.name === 's1')?.tags, { role: 'web', dc: 'ä' })
  t.ok(await until(async () => (await statusOf(serf, 'we')) === 'alive'))
  const seen = (await serf.members()).get('we')
  t.same(seen?.tags, { role: 'ours', version: '1' })
  t.equal(seen?.addr, `${a(2)}:7946`)
  we.ring.setTags({ role: 'changed' })
  t.ok(await until(async () => (await serf.members()).get('we')?.tags.role === 'changed'))
  await serf.command('tags', '-set', 'role=other')
  t.ok(await until(() => we.ring.members().find(one => one.name === 's1')?.tags.role === 'other'))
  noErrors(t, serf)
})

story('a serf joins us by dialling us, and a second one learns of us from it', 11, async (t, a) => {
  const we = await ours(t, 'we', a(2))
  const first = await agent(t, 's1', a(1), { join: we.at })
  const second = await agent(t, 's2', a(3), { join: first.at })
  t.ok(await until(() => we.state('s1') === 'alive' && we.state('s2') === 'alive'))
  t.ok(await until(async () => (await statusOf(second, 'we')) === 'alive'))
  const third = await ours(t, 'third', a(4), { seeds: [we.at] })
  t.ok(await until(() => third.state('s2') === 'alive'))
  t.ok(await until(async () => (await statusOf(second, 'third')) === 'alive'))
  noErrors(t, first, second)
})

story('we meet a serf over IPv6', 12, async (t, _) => {
  const serf = await agent(t, 's1', '::1', { port: PORT }).catch((er: Error) => er)
  if (serf instanceof Error) return t.plan(0, 'SKIPPED: no IPv6 on this machine')
  const we = await ours(t, 'we', '::1', { port: PORT + 4, seeds: [serf.at] })
  t.ok(await until(() => we.state('s1') === 'alive'))
  t.equal(we.ring.members().find(one => one.name === 's1')?.address, '::1')
  t.ok(await until(async () => (await statusOf(serf, 'we')) === 'alive'))
  noErrors(t, serf)
})

for (const octets of [16, 24, 32]) {
  story(
    `an encrypted ring of AES-${octets * 8} takes us with its key only`,
    13 + octets / 8,
    async (t, a) => {
      const key = keyText(Buffer.alloc(octets, octets))
      const serf = await agent(t, 's1', a(1), { key })
      const we = await ours(t, 'we', a(2), { key, seeds: [serf.at] })
      t.ok(await until(() => we.state('s1') === 'alive'))
      t.ok(await until(async () => (await statusOf(serf, 'we')) === 'alive'))
      noErrors(t, serf)
      const wrong = await ours(t, 'wrong', a(3), {
        key: keyText(Buffer.alloc(octets, 1)),
        seeds: [serf.at, we.at],
      })
      const plain = await ours(t, 'plain', a(4), { seeds: [serf.at, we.at] })
      t.equal(await wrong.ring.join([serf.at]), 0)
      t.equal(await wrong.ring.join([we.at]), 0)
      t.equal(await plain.ring.join([serf.at]), 0)
      t.equal(await plain.ring.join([we.at]), 0)
      const naked = await agent(t, 'naked', a(5))
      t.notOk((await naked.command('join', a(2))).ok, 'a serf without the key is not let in by us')
      t.same(
        we.ring
          .members()
          .map(one => one.name)
          .sort(),
        ['s1', 'we'],
      )
      t.ok(we.ring.stats().counters.refused + we.ring.stats().counters.malformed > 0)
    },
  )
}

story(
  '`serf keys` replaces the key of a ring with us in it, while events flow',
  20,
  async (t, a) => {
    const [old, fresh] = [generatedKey(), generatedKey()]
    const keyring = new Keyring([Buffer.from(old, 'base64')])
    const serf = await agent(t, 's1', a(1), { keyring: [old] })
    const second = await agent(t, 's2', a(3), { keyring: [old], join: serf.at })
    const we = await ours(t, 'we', a(2), { keyring, seeds: [serf.at] })
    t.ok(await until(() => we.state('s1') === 'alive' && we.state('s2') === 'alive'))
    t.ok(await until(async () => (await serf.members()).size === 3))
    let sent = 0
    const traffic = setInterval(() => we.ring.userEvent(`tick${sent++}`, Buffer.alloc(20)), 100)
    t.teardown(() => clearInterval(traffic))
    t.match(await serf.command('keys', '-install', fresh), { ok: true })
    t.match(await serf.command('keys', '-use', fresh), { ok: true })
    const list = await serf.command('keys', '-list')
    t.match(list, { ok: true })
    t.match(list.out, new RegExp(`${fresh.replace(/[+/]/g, '\\$&')}\\s+\\[3/3\\]`))
    t.match(await serf.command('keys', '-remove', old), { ok: true })
    t.same(keyring.list(), [fresh])
    t.notOk((await serf.command('keys', '-remove', fresh)).ok, 'nobody gives up the key in use')
    clearInterval(traffic)
    t.ok(
      await until(() => second.log().includes(`tick${sent - 1}`)),
      'events came through to the last',
    )
    t.equal(we.ring.stats().counters.refused, 0)

    // and the other way: we start the rotation
    const third = generatedKey()
    t.match(await we.ring.keys.install(third), { members: 3, answered: 3, failed: 0 })
    t.match(await we.ring.keys.use(third), { answered: 3, failed: 0 })
    t.match(await we.ring.keys.remove(fresh), { answered: 3, failed: 0 })
    t.match(await we.ring.keys.list(), {
      answered: 3,
      keys: { [third]: 3 },
      primary: { [third]: 3 },
    })
    t.match((await second.command('keys', '-list')).out, /\[3\/3\]/)
    t.same(troubles(second, /Removing the primary key/), [])
  },
)

story('a large compressed table of a ring comes through whole', 21, async (t, a) => {
  // random tags, so that the LZW table fills and is cleared within one push/pull
  const noise = (n: number): string =>
    Array.from({ length: 470 }, (_, i) =>
      String.fromCharCode(33 + ((i * i * 31 + i * n * 17 + n) % 90)),
    ).join('')
  const first = await agent(t, 's0', a(1), { args: ['-tag', `t=${noise(0)}`] })
  for (let n = 1; n < 14; n++)
    await agent(t, `s${n}`, a(n + 1), { join: first.at, args: ['-tag', `t=${noise(n)}`] })
  t.ok(await until(async () => (await first.members()).size === 14))
  const we = await ours(t, 'we', a(100), { seeds: [first.at] })
  t.ok(await until(() => we.ring.members().length === 15))
  for (const member of we.ring.members()) {
    if (member.name !== 'we')
      t.equal(member.tags.t, noise(Number(member.name.slice(1))), member.name)
  }
  t.equal(we.ring.stats().counters.malformed, 0)
})

story("user events go both ways, once, and to Serf's limits", 22, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  const other = await ours(t, 'other', a(3), { seeds: [we.at] })
  t.ok(
    await until(async () => (await serf.members()).size === 3 && other.ring.members().length === 3),
  )
  await serf.command('event', 'deploy', 'v1')
  await serf.command('event', '-coalesce=false', 'deploy', 'v2')
  const seen = (who: typeof we): string[] =>
    who.events.flatMap(event =>
      event.type === 'userEvent' ? [`${event.name} ${Buffer.from(event.payload)}`] : [],
    )
  t.ok(await until(() => seen(we).length === 2 && seen(other).length === 2))
  t.same(seen(we).sort(), ['deploy v1', 'deploy v2'])
  t.ok(we.ring.userEvent('ours', Buffer.from('x'.repeat(450))))
  t.notOk(we.ring.userEvent('ours', Buffer.from('x'.repeat(500))))
  t.notOk((await serf.command('event', 'e', 'x'.repeat(500))).ok, 'serf refuses the same')
  t.ok(await until(() => serf.log().includes('user-event: ours')))
  t.ok(await until(() => seen(other).length === 3))
  t.equal(seen(we).length, 3, "one's own event is seen once too")
  const late = await ours(t, 'late', a(4), { seeds: [serf.at] })
  t.ok(await until(() => late.ring.members().length === 4))
  t.same(seen(late), [], 'a joiner is spared the old ones')
  t.same(troubles(serf, /exceeds configured limit/), [])
})

story('queries of a serf are acknowledged by those they are meant for', 23, async (t, a) => {
  const serf = await agent(t, 's1', a(1))
  const we = await ours(t, 'we', a(2), { seeds: [serf.at] })
  t.ok(await until(async () => we.state('s1') === 'alive' && (await serf.members()).size === 2))
  const acks = async (...args: string[]): Promise<boolean> =>
    (await serf.command('query', '-timeout=1s', ...args, 'load')).out.includes("Ack from 'we'")
  t.ok(await acks('-node=we'))
  t.ok(await acks('-tag', 'role=^ou.*$'))
  t.notOk(await acks('-node=s1'))
  t.notOk(await acks('-tag', 'role=web'))
  t.notOk(await acks('-tag', 'role=(o*)*s'), 'an expression that could run away is not tried')
  t.match(await serf.command('reachability'), { ok: true })
  noErrors(t, serf)
})

void t.test('the serf that is the oracle is the one we know', { skip }, async t => {
  t.match((await run(['version'])).out, /Agent Protocol: 5/)
})

story('a serf that comes with the name of one of us quits, and ours stays', 30, async (t, a) => {
  const first = await agent(t, 's1', a(1))
  const second = await agent(t, 's2', a(2), { join: first.at })
  const we = await ours(t, 'same', a(3), { seeds: [first.at] })
  t.ok(await until(async () => (await statusOf(second, 'same')) === 'alive'))
  const twin = await agent(t, 'same', a(4), { join: first.at })
  t.ok(await until(() => twin.process.exitCode !== null, 120_000), 'it quits')
  t.match(twin.log(), /minority in name conflict/)
  t.equal((await first.members()).get('same')?.addr, `${a(3)}:7946`)
  t.notOk(we.events.some(({ type }) => type === 'outvoted'))
})

story(
  'one of us that comes with the name of a serf is told that the ring keeps it',
  31,
  async (t, a) => {
    const first = await agent(t, 's1', a(1))
    const same = await agent(t, 'same', a(2), { join: first.at })
    const third = await ours(t, 'third', a(3), { seeds: [first.at] })
    t.ok(await until(() => third.state('same') === 'alive'))
    const we = await ours(t, 'same', a(4), { seeds: [first.at] })
    t.ok(await until(() => we.events.some(({ type }) => type === 'outvoted'), 120_000))
    t.equal((await first.members()).get('same')?.addr, `${a(2)}:7946`)
    t.equal(same.process.exitCode, null, 'the serf goes on')
  },
)
