/**
 * Ten serf agents and ten of our members in one encrypted ring. Members leave, die and return while random packets
 * are sent to all.
 */
import { createSocket } from 'node:dgram'
import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  agent,
  lane,
  NO_SERF,
  ours,
  serfInstalled,
  type SerfAgent,
  troubles,
  until,
} from './fixture/serf.ts'
import { plain } from './fixture/captured.ts'
import { mutated } from './fixture/mutate.ts'
import { randomOf } from './fixture/world.ts'

const skip = serfInstalled() ? false : NO_SERF
const KEY = Buffer.alloc(32, 7).toString('base64')
/** Messages of a serf when a probed member is really gone. */
const EXPECTED =
  /fallback|Push\/Pull with|Failed to join|Suspect|Refuting|queue depth|join event|Was able to connect|Attempting|Got ping for unexpected/

void t.test('a ring of ten serfs and ten of ours stays one through churn', { skip }, async t => {
  const a = (await lane(t, 3))(60)
  const seed = await agent(t, 's0', a(1), { key: KEY })
  const serfs = new Map<string, SerfAgent>([['s0', seed]])
  const rings = new Map([['o0', await ours(t, 'o0', a(101), { key: KEY, seeds: [seed.at] })]])
  await Promise.all(
    Array.from({ length: 9 }, async (_, i) => {
      const n = i + 1
      serfs.set(
        `s${n}`,
        await agent(t, `s${n}`, a(n + 1), {
          key: KEY,
          join: n % 2 ? seed.at : rings.get('o0')!.at,
          args: ['-tag', `n=${n}`],
        }),
      )
      rings.set(
        `o${n}`,
        await ours(t, `o${n}`, a(n + 101), {
          key: KEY,
          seeds: [n % 2 ? seed.at : rings.get('o0')!.at],
        }),
      )
    }),
  )
  /** Members whose view differs from the list of living members, and how each serf sees each member. */
  let astray: string[] = []
  const agreed = async (): Promise<boolean> => {
    const living = [...serfs.keys(), ...rings.keys()].sort().join()
    const seen = new Map<string, string[]>()
    const statuses = new Map<string, string>()
    for (const [name, one] of rings)
      seen.set(
        name,
        one.ring
          .members()
          .filter(member => member.state === 'alive')
          .map(member => member.name),
      )
    for (const [name, one] of serfs) {
      const members = [...(await one.members())]
      seen.set(
        name,
        members.filter(([, member]) => member.status === 'alive').map(([who]) => who),
      )
      statuses.set(name, members.map(([who, { status }]) => `${who} ${status}`).join())
    }
    astray = [...seen]
      .filter(([, names]) => names.sort().join() !== living)
      .map(([name, names]) => `${name}: ${statuses.get(name) ?? names.join()}`)
    return astray.length === 0
  }
  const agree = async (why: string): Promise<void> => {
    t.ok(await until(agreed, 90_000), why)
    t.same(astray, [])
  }
  await agree('all twenty see all twenty')

  rings.get('o0')!.ring.userEvent('to-all', Buffer.from('1'))
  await serfs.get('s9')!.command('event', 'to-all-too', '2')
  const heard = (name: string): boolean =>
    [...rings.values()].every(one =>
      one.events.some(event => event.type === 'userEvent' && event.name === name),
    ) && [...serfs.values()].every(one => one.log().includes(`user-event: ${name}`))
  t.ok(await until(() => heard('to-all') && heard('to-all-too')), 'events reach all twenty')

  // two leave and two die
  const [leaving, dying] = [serfs.get('s8')!, serfs.get('s7')!]
  const [ourLeaving, ourDying] = [rings.get('o8')!, rings.get('o7')!]
  for (const name of ['s7', 's8']) serfs.delete(name)
  for (const name of ['o7', 'o8']) rings.delete(name)
  dying.process.kill('SIGKILL')
  await Promise.all([leaving.command('leave'), ourLeaving.ring.leave(), ourDying.ring.close()])

  // meanwhile a sender without the key sends nonsense to all members (encrypted with the right key it would crash
  // this serf: memberlist 0.2.2 panics on some of it)
  const socket = createSocket('udp4')
  const random = randomOf(11)
  const shout = mutated(plain.packets, random)
  for (let i = 0; i < 3_000; i++) {
    const bytes = shout()
    socket.send(bytes, 7946, a(1 + (i % 6)))
    socket.send(bytes, 7946, a(101 + (i % 6)))
    if (i % 100 === 0) await sleep(5)
  }
  socket.close()

  await agree('the sixteen that are left agree')
  serfs.set('s7', await agent(t, 's7', a(8), { key: KEY, join: rings.get('o1')!.at }))
  rings.set('o7', await ours(t, 'o7', a(108), { key: KEY, seeds: [serfs.get('s1')!.at] }))
  rings.set('o8', await ours(t, 'o8', a(120), { key: KEY, seeds: [rings.get('o3')!.at] }))
  await agree('and take back those who return, one at a new address')
  for (const one of serfs.values()) {
    if (one.name === 's7') t.same(troubles(one, EXPECTED), [])
    t.equal(one.process.exitCode, null, `${one.name} runs`)
    t.notMatch(one.log(), /panic|fatal error/i)
  }
})
