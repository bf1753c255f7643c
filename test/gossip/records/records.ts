/**
 * The rules of the records, one by one: who may write, what is shown when owners fail, what is refused, what
 * survives a restart, how repair ends. The test moves the clock and delivers the messages.
 */
import t from 'tap'
import {
  createRecords,
  type Records,
  type RecordsOptions,
} from '../../../src/gossip/records/records.ts'
import type { Entry, Key, Kind } from '../../../src/gossip/records/types.ts'
import type { Member, MemberEvent, MemberState } from '../../../src/gossip/rider.ts'
import { seeded } from '../../../scripts/simulate/random.ts'

const member = (name: string, state: MemberState, capable = true): Member => ({
  name,
  address: '192.0.2.1',
  port: 7946,
  state,
  incarnation: 1,
  tags: {},
  capable,
})
const event = (
  type: MemberEvent['type'],
  name: string,
  state: MemberState,
  capable = true,
): MemberEvent => ({ type, member: member(name, state, capable) })

const vip = (name: string): Key => ({ kind: 'vip', name })

/** Nodes by name, a clock, and a network that can lose packets. */
class Lab {
  now = 100_000
  readonly nodes = new Map<string, Records>()
  readonly options = new Map<string, Partial<RecordsOptions>>()
  /** Whether a packet or stream gets through. */
  passes: (from: string, to: string) => boolean = () => true
  readonly random = seeded(7)
  streams = 0

  add(name: string, options: Partial<RecordsOptions> = {}): Records {
    const records = createRecords({
      self: name,
      now: () => this.now,
      random: this.random,
      epoch: Math.floor(this.now / 1_000),
      // The first one has nobody to ask.
      seeds: this.nodes.size > 0,
      ...options,
    })
    for (const other of this.nodes.keys()) {
      if (other === name) continue
      records.onMember(event('join', other, 'alive'), this.now)
      if (!this.nodes.has(name))
        this.nodes.get(other)?.onMember(event('join', name, 'alive'), this.now)
    }
    this.nodes.set(name, records)
    return records
  }

  /** Advances time in steps of 10 ms; every node pings every other once a second. */
  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 10) {
      for (const [name, records] of this.nodes) this.#carry(name, records)
      if (this.now % 1_000 !== 0) continue
      for (const [a, one] of this.nodes)
        for (const [b, two] of this.nodes)
          if (a !== b && this.passes(a, b)) two.onDigest(a, one.digest(), this.now)
    }
  }

  #carry(name: string, records: Records): void {
    for (const send of records.poll(this.now).sends) {
      const to = this.nodes.get(send.to)
      const passes = to && this.passes(name, send.to)
      if (send.via === 'packet') {
        if (passes) to.onPacket(name, send.body, this.now)
        continue
      }
      this.streams++
      records.onStreamResponse(
        send.to,
        send.token,
        passes ? to.onStreamRequest(name, send.body, this.now) : undefined,
        this.now,
      )
    }
  }

  tell(type: MemberEvent['type'], name: string, state: MemberState): void {
    for (const [other, records] of this.nodes)
      if (other !== name) records.onMember(event(type, name, state), this.now)
  }
}

const texts = (entries: Iterable<Entry>): string[] =>
  [...entries]
    .map(e => `${e.name} ${e.owner} ${Buffer.from(e.value).toString()}${e.stale ? ' stale' : ''}`)
    .sort()
const all = (records: Records, kind: Kind = 'vip'): string[] => texts(records.entries(kind))
const put = (records: Records, name: string, value: string): boolean =>
  records.publish(vip(name), Buffer.from(value))

t.test('what an owner publishes, changes and withdraws is shown by all', async t => {
  const lab = new Lab()
  const [a, b, c] = ['a', 'b', 'c'].map(name => lab.add(name)) as [Records, Records, Records]
  t.ok(put(a, 'web.example.org', 'one'))
  put(b, 'web.example.org', 'two')
  a.publish({ kind: 'node', name: 'a' }, Buffer.from('a node'))
  lab.run(1_000)
  for (const node of [a, b, c]) {
    t.same(all(node), ['web.example.org a one', 'web.example.org b two'])
    t.same(all(node, 'node'), ['a a a node'])
    t.same(texts(node.lookup(vip('web.example.org'))), [
      'web.example.org a one',
      'web.example.org b two',
    ])
  }
  put(a, 'web.example.org', 'three')
  b.withdraw(vip('web.example.org'))
  lab.run(1_000)
  t.same(all(c), ['web.example.org a three'])
  t.same(c.lookup(vip('nobody.example.org')), [])
  t.same([...c.owners()].map(o => `${o.name} ${o.entries} ${o.presence}`).sort(), [
    'a 2 alive',
    'b 0 alive',
  ])
})

t.test('a node that comes back replaces the records of the one that had its name', async t => {
  const lab = new Lab()
  // Both begin in the same second, and the second publishes before it has heard of the first.
  const epoch = 1_000
  const epochs: number[] = []
  const [a, first] = [lab.add('a'), lab.add('b', { epoch })] as const
  put(first, 'web', 'first')
  lab.run(2_000)
  lab.passes = (from, to) => from !== 'twin' && to !== 'twin'
  const twin = lab.add('twin', { self: 'b', epoch, onEpoch: one => epochs.push(one) })
  put(twin, 'web', 'twin')
  // It finds nobody, and publishes all the same.
  lab.run(12_000)
  lab.nodes.delete('b')
  lab.passes = () => true
  lab.run(60_000)
  t.same(all(a), ['web b first'], 'of equal epochs and versions nobody sees a difference')
  twin.renew(epoch + 64)
  lab.run(2_000)
  t.same(all(a), ['web b twin'])
  twin.renew(epoch)
  lab.run(2_000)
  t.same(epochs, [epoch, epoch + 64, epoch + 65], 'an epoch is written down, and only grows')
  t.same(all(a), ['web b twin'])
})

t.test('changed keys are told in batches, each once, also those that vanish', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  const told: string[] = []
  const stop = b.onChange(keys => told.push(...keys.map(key => `${key.kind} ${key.name}`)))
  put(a, 'x', '1')
  put(a, 'x', '2')
  put(a, 'y', '1')
  lab.run(500)
  t.same(told.splice(0).sort(), ['vip x', 'vip y'])
  put(a, 'x', '2')
  lab.run(500)
  t.same(told, [], 'the same value again is no change')
  a.withdraw(vip('y'))
  lab.run(500)
  t.same(told.splice(0), ['vip y'])
  stop()
  put(a, 'z', '1')
  lab.run(500)
  t.same(told, [])
})

t.test('what cannot be an entry is refused where it is published', async t => {
  const lab = new Lab()
  const a = lab.add('a')
  t.notOk(put(a, '', 'x'))
  t.notOk(put(a, 'n'.repeat(255), 'x'))
  t.notOk(put(a, 'snow☃.example.org', 'x'))
  t.notOk(a.publish(vip('large'), new Uint8Array(60_001)))
  t.notOk(a.publish({ kind: 'tea' as Kind, name: 'x' }, new Uint8Array(1)))
  t.equal(a.stats().refused.value, 5)
})

t.test('an owner in trouble ranks behind the living, and is shown where nobody lives', async t => {
  const lab = new Lab()
  const [a, b, c] = ['a', 'b', 'c'].map(name => lab.add(name)) as [Records, Records, Records]
  put(a, 'shared', 'a')
  put(b, 'shared', 'b')
  put(a, 'alone', 'a')
  lab.run(1_000)
  const told: string[] = []
  c.onChange(keys => told.push(...keys.map(key => key.name)))
  c.onMember(event('suspect', 'a', 'suspect'), lab.now)
  lab.run(100)
  t.same(all(c), ['alone a a', 'shared b b'], 'a suspect is left out beside a live owner')
  t.same(told.splice(0).sort(), ['alone', 'shared'])
  c.onMember(event('alive', 'a', 'alive'), lab.now)
  lab.run(100)
  t.same(all(c), ['alone a a', 'shared a a', 'shared b b'], 'a refutation undoes it at once')
  c.onMember(event('suspect', 'a', 'suspect'), lab.now)
  c.onMember(event('dead', 'a', 'dead'), lab.now)
  lab.run(100)
  t.same(
    all(c),
    ['alone a a stale', 'shared b b'],
    'the dead are served, marked, where nobody else is',
  )
  c.onMember(event('suspect', 'b', 'suspect'), lab.now)
  lab.run(100)
  t.same(all(c), ['alone a a stale', 'shared b b'], 'a suspect is better than a dead one')
  c.onMember(event('dead', 'b', 'dead'), lab.now)
  lab.run(100)
  t.same(all(c), ['alone a a stale', 'shared a a stale', 'shared b b stale'])
  t.equal(c.stats().flaps, 1)
})

t.test('a dead owner is dropped after its grace and not revived by one who lagged', async t => {
  const lab = new Lab()
  const limits = { deadMs: 60_000, dropMemoryMs: 30_000 }
  const [a, b, c] = ['a', 'b', 'c'].map(name => lab.add(name, { limits })) as [
    Records,
    Records,
    Records,
  ]
  put(a, 'web', 'a')
  lab.run(2_000)
  lab.nodes.delete('a')
  b.onMember(event('dead', 'a', 'dead'), lab.now)
  lab.run(25_000)
  // c learns of it late, and learns from b how long a has been gone.
  c.onMember(event('dead', 'a', 'dead'), lab.now)
  lab.run(10_000)
  t.same(
    Buffer.from(b.digest()).toString('hex', 2, 10),
    Buffer.from(c.digest()).toString('hex', 2, 10),
    'both have fallen silent about it',
  )
  t.same(all(c), ['web a a stale'])
  lab.run(30_000)
  t.same(all(b), [])
  t.equal(b.stats().dropped, 1)
  // Another node that still considers it alive, and offers it.
  const d = lab.add('d', { limits })
  d.fromBytes(a.toBytes(0), 0)
  lab.run(5_000)
  t.same(all(b), [], 'what was dropped stays dropped')
  t.ok(b.stats().refused.dropped > 0)
  lab.tell('join', 'a', 'alive')
  const again = lab.add('a', { limits })
  put(again, 'web', 'new')
  lab.run(3_000)
  t.same(all(b), ['web a new'], 'but its owner may come back')
})

t.test('an owner that has been gone for half its grace is offered to nobody', async t => {
  const lab = new Lab()
  const limits = { deadMs: 60_000 }
  const [a, b] = [lab.add('a', { limits }), lab.add('b', { limits })]
  put(a, 'web', 'a')
  put(b, 'other', 'b')
  lab.run(2_000)
  lab.nodes.delete('a')
  b.onMember(event('dead', 'a', 'dead'), lab.now)
  lab.run(20_000)
  const early = lab.add('early', { limits })
  lab.run(3_000)
  t.same(all(early), ['other b b', 'web a a stale'])
  lab.run(15_000)
  const late = lab.add('late', { limits })
  lab.run(3_000)
  t.same(all(late), ['other b b'])
  t.same(all(b), ['other b b', 'web a a stale'], 'who has it still shows it')
})

t.test('an owner that says good-bye is dropped after a minute', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'web', 'a')
  lab.run(1_000)
  lab.nodes.delete('a')
  b.onMember(event('leave', 'a', 'left'), lab.now)
  lab.run(50_000)
  t.same(all(b), ['web a a stale'])
  lab.run(15_000)
  t.same(all(b), [])
})

t.test('when too many vanish at once we hold still, up to a limit', async t => {
  const lab = new Lab()
  const names = Array.from({ length: 10 }, (_, i) => `n${i}`)
  for (const name of names) put(lab.add(name, { limits: { holdMs: 120_000 } }), 'web', name)
  lab.run(2_000)
  const me = lab.nodes.get('n0') as Records
  for (const name of names.slice(1, 4)) me.onMember(event('suspect', name, 'suspect'), lab.now)
  lab.run(100)
  t.equal(all(me).length, 7, 'three of ten are hidden')
  me.onMember(event('suspect', 'n4', 'suspect'), lab.now)
  for (const name of names.slice(1, 5)) me.onMember(event('dead', name, 'dead'), lab.now)
  lab.run(100)
  t.equal(all(me).length, 10, 'four of ten: it is us')
  t.equal(all(me).filter(line => line.endsWith('stale')).length, 4)
  t.ok(me.stats().holding)
  me.onMember(event('alive', 'n1', 'alive'), lab.now)
  me.onMember(event('alive', 'n2', 'alive'), lab.now)
  lab.run(2_000)
  t.notOk(me.stats().holding, 'enough came back')
  t.equal(all(me).length, 8)
  for (const name of names.slice(5, 9)) me.onMember(event('dead', name, 'dead'), lab.now)
  lab.run(100)
  t.equal(all(me).length, 8)
  lab.run(130_000)
  t.equal(all(me).length, 4, 'the limit is over')
})

t.test('one of three may die without anybody holding still', async t => {
  const lab = new Lab()
  for (const name of ['a', 'b', 'c']) put(lab.add(name), 'web', name)
  lab.run(1_000)
  lab.tell('dead', 'c', 'dead')
  lab.run(100)
  t.same(all(lab.nodes.get('a') as Records), ['web a a', 'web b b'])
})

t.test('what the caps keep out is said, and goes in when there is room', async t => {
  const lab = new Lab()
  const refused: string[] = []
  const a = lab.add('a', {
    limits: { ownerEntries: 2 },
    onRefused: (owner, cap) => refused.push(`${owner} ${cap}`),
  })
  for (const name of ['n0', 'n1', 'n2', 'n3']) put(a, name, 'x')
  lab.run(500)
  t.same([all(a).length, a.stats().waiting, refused.join()], [2, 2, 'a owner-cap'])
  put(a, 'n0', 'y')
  lab.run(500)
  t.same([a.stats().waiting, refused.length], [2, 1], 'what waits is not refused once more')
  a.withdraw(vip('n3'))
  a.withdraw(vip('n0'))
  lab.run(500)
  t.same(all(a), ['n1 a x', 'n2 a x'], 'the first that waited is in')
  t.equal(a.stats().waiting, 0, 'and what was withdrawn waits no more')
  const wide = lab.add('wide')
  for (const name of ['w0', 'w1', 'w2']) put(wide, name, 'x')
  lab.run(20_000)
  t.same(refused, ['a owner-cap', 'wide owner-cap'], "another's are told of too")
})

t.test('what a restarted owner no longer has makes room for what it has now', async t => {
  const lab = new Lab()
  const limits = { ownerEntries: 2 }
  const a = lab.add('a', { limits })
  lab.add('b')
  for (const name of ['old0', 'old1']) put(a, name, 'x')
  lab.run(2_000)
  lab.now += 10_000
  const again = lab.add('a', { limits })
  lab.run(2_000)
  t.same(all(again), ['old0 a x', 'old1 a x'], 'learned back from its peer')
  for (const name of ['new0', 'new1']) put(again, name, 'x')
  lab.run(1_000)
  t.equal(again.stats().waiting, 0)
  t.same(all(lab.nodes.get('b') as Records), ['new0 a x', 'new1 a x'])
})

t.test('caps are kept: at the owner, and against one who does not', async t => {
  const lab = new Lab()
  const small = { ownerEntries: 3, ownerBytes: 100 }
  const a = lab.add('a', { limits: small })
  for (let i = 0; i < 5; i++) put(a, `n${i}`, 'x')
  lab.run(500)
  t.equal(all(a).length, 3)
  t.equal(a.stats().refused['owner-cap'], 2)
  put(a, 'n0', 'x'.repeat(200))
  lab.run(500)
  t.equal(a.stats().refused['owner-cap'], 3, 'too many octets')
  const wide = lab.add('wide')
  for (let i = 0; i < 5; i++) put(wide, `w${i}`, 'x')
  lab.run(40_000)
  t.equal(
    texts(a.entries('vip')).filter(line => line.includes(' wide ')).length,
    3,
    'we take what one owner may have',
  )
  wide.withdraw(vip('w0'))
  wide.withdraw(vip('w1'))
  lab.run(80_000)
  t.same(
    texts(a.entries('vip')).filter(line => line.includes(' wide ')),
    ['w2 wide x', 'w3 wide x', 'w4 wide x'],
    'and the rest when there is room',
  )
})

t.test('the cap over all is kept', async t => {
  const lab = new Lab()
  const tight = lab.add('tight', { limits: { entries: 4 } })
  const [b, c] = [lab.add('b'), lab.add('c')]
  for (let i = 0; i < 3; i++) {
    put(b, `b${i}`, 'x')
    put(c, `c${i}`, 'x')
  }
  lab.run(3_000)
  t.equal(all(tight).length, 4)
  t.ok(tight.stats().refused['total-cap'] > 0)
  t.equal(all(b).length, 6)
  put(tight, 'own', 'x')
  lab.run(500)
  t.equal(tight.stats().waiting, 1, 'there is no room for ours either')
})

t.test('the octets of all owners are capped, ours and those of others', async t => {
  const lab = new Lab()
  const tight = lab.add('tight', { limits: { bytes: 1_000 } })
  const b = lab.add('b')
  put(tight, 'one', 'x'.repeat(600))
  put(tight, 'two', 'x'.repeat(600))
  lab.run(500)
  t.same([all(tight).length, tight.stats().waiting], [1, 1])
  put(tight, 'one', 'x')
  lab.run(500)
  t.same([all(tight).length, tight.stats().waiting], [2, 0], 'a smaller value makes room')
  put(b, 'three', 'x'.repeat(600))
  lab.run(3_000)
  t.same([all(tight).length, all(b).length], [2, 3])
})

t.test('owners beyond the limit are not taken, and counted', async t => {
  const lab = new Lab()
  const tight = lab.add('tight', { limits: { owners: 3 } })
  for (const name of ['b', 'c', 'd', 'e']) put(lab.add(name), 'web', name)
  put(tight, 'web', 'tight')
  lab.run(3_000)
  t.equal(all(tight).length, 3)
  t.ok(tight.stats().refused['total-cap'] > 0)
  t.equal(all(lab.nodes.get('e')!).length, 5)
})

t.test('a delta that makes room later is taken by one that is full', async t => {
  const lab = new Lab()
  const limits = { ownerEntries: 3 }
  const [a, b] = [lab.add('a', { limits }), lab.add('b', { limits })]
  for (const name of ['k0', 'k1', 'k2']) put(a, name, 'x')
  lab.run(3_000)
  t.equal(all(b).length, 3)
  lab.passes = () => false
  // In the order of versions: k3 comes, then k1 goes, then k0 is new again.
  for (const [gone, come] of [
    ['k0', 'k3'],
    ['k1', 'k0'],
  ] as const) {
    a.withdraw(vip(gone))
    put(a, come, 'y')
    lab.run(500)
  }
  lab.passes = () => true
  lab.run(5_000)
  t.same(all(b), ['k0 a y', 'k2 a x', 'k3 a y'])
  t.equal(b.stats().refused['owner-cap'], 0)
})

t.test('names that gossip may not fill are passed on, counted and never shown', async t => {
  const lab = new Lab()
  const allow = (key: Key): boolean => !key.name.endsWith('.spartan')
  const [a, b, c] = [lab.add('a'), lab.add('b', { allow }), lab.add('c')] as [
    Records,
    Records,
    Records,
  ]
  put(a, 'ready.spartan', 'mine')
  put(a, 'web.example.org', 'x')
  lab.run(1_000)
  t.same(all(b), ['web.example.org a x'])
  t.equal(b.stats().refused.zone, 1)
  t.equal(all(c).length, 2)
  lab.run(3_000)
  t.same(
    Buffer.from(b.digest()).toString('hex', 2, 10),
    Buffer.from(c.digest()).toString('hex', 2, 10),
    'replicas stay equal all the same',
  )
})

t.test('nobody else may write our namespace', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'web', 'true')
  lab.run(1_000)
  // A forger that claims to be `a` with a later epoch.
  lab.now += 1_000
  const forger = createRecords({
    self: 'a',
    now: () => lab.now,
    random: lab.random,
    epoch: 5_000,
    seeds: false,
  })
  forger.onMember(event('join', 'b', 'alive'), lab.now)
  forger.publish(vip('web'), Buffer.from('false'))
  forger.poll(lab.now)
  lab.now += 100
  forger.poll(lab.now)
  lab.now += 100
  for (const send of forger.poll(lab.now).sends)
    if (send.via === 'packet') b.onPacket('a', send.body, lab.now)
  t.same(all(b), ['web a false'], 'believed for a moment: a key is trust')
  lab.run(3_000)
  t.same(all(b), ['web a true'], 'until the owner hears of it and goes past it')
  t.ok(a.stats().refused.epoch > 0)
  t.ok([...b.owners()].some(o => o.name === 'a' && o.epoch === 5_001))
})

t.test('a restarted owner keeps its old entries until it has spoken of their kind', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'one', '1')
  put(a, 'two', '2')
  a.publish({ kind: 'node', name: 'a' }, Buffer.from('data'))
  lab.run(1_000)
  const told: string[] = []
  b.onChange(keys => told.push(...keys.map(key => key.name)))
  lab.now += 10_000
  const again = lab.add('a')
  lab.run(2_000)
  t.same(all(again), ['one a 1', 'two a 2'], 'learned back from its peer')
  again.publish({ kind: 'node', name: 'a' }, Buffer.from('data'))
  lab.run(2_000)
  t.same(all(b), ['one a 1', 'two a 2'], 'its VIPs are not known yet')
  put(again, 'two', '2')
  put(again, 'three', '3')
  lab.run(2_000)
  t.same(all(b), ['three a 3', 'two a 2'])
  t.same(told.sort(), ['one', 'three'], 'what stayed the same was never touched')
  t.ok([...b.owners()].every(o => o.name !== 'a' || o.epoch === 111))
})

t.test('a restart with an old disk, or with none, takes nothing from anybody', async t => {
  for (const disk of ['old', 'lost']) {
    const lab = new Lab()
    const [a, b] = [lab.add('a'), lab.add('b')]
    const fact: Key = { kind: 'node', name: 'a' }
    a.publish(fact, Buffer.from('before'))
    lab.run(1_000)
    const snapshot = a.toBytes(0)
    put(a, 'web', 'one')
    lab.run(1_000)
    lab.nodes.delete('a')
    lab.tell('dead', 'a', 'dead')
    lab.run(5_000)
    const back = lab.add('a')
    if (disk === 'old') back.fromBytes(snapshot, 1_000)
    lab.tell('update', 'a', 'alive')
    // Facts are published at once, VIPs when the agent has answered.
    back.publish(fact, Buffer.from('after'))
    // It takes a while until it has joined.
    lab.passes = () => false
    lab.run(500)
    lab.passes = () => true
    for (let step = 0; step < 500; step++) {
      lab.run(10)
      if (all(b)[0] !== 'web a one') break
    }
    t.same(all(b), ['web a one'], `${disk}: kept meanwhile`)
    t.same(all(b, 'node'), ['a a after'], disk)
    t.same(all(back), ['web a one'], `${disk}: and known again to itself`)
    put(back, 'web', 'two')
    lab.run(1_000)
    t.same(all(b), ['web a two'], disk)
  }
})

t.test('a restarted owner that says nothing loses its old entries after half a minute', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'one', '1')
  lab.run(1_000)
  lab.now += 10_000
  lab.add('a')
  lab.run(29_000)
  t.same(all(b), ['one a 1'])
  lab.run(5_000)
  t.same(all(b), [])
})

t.test(
  'a snapshot is served stale until a peer has spoken, and what changed meanwhile is fetched',
  async t => {
    const lab = new Lab()
    const [a, b] = [lab.add('a'), lab.add('b')]
    put(a, 'web', '1')
    put(a, 'old', '1')
    put(b, 'mine', '1')
    lab.run(1_000)
    const disk = b.toBytes(1_000_000)
    put(a, 'web', '2')
    a.withdraw(vip('old'))
    lab.run(1_000)
    lab.passes = () => false
    const again = lab.add('b')
    t.equal(again.fromBytes(disk, 1_001_000), 3)
    lab.run(100)
    t.same(all(again), ['mine b 1 stale', 'old a 1 stale', 'web a 1 stale'])
    t.notOk(again.synced)
    lab.passes = () => true
    lab.run(3_000)
    t.ok(again.synced)
    t.same(all(again), ['mine b 1', 'web a 2'])
    t.equal(again.fromBytes(Buffer.from('nonsense'), 0), -1)
    const cut = createRecords({ self: 'c', now: () => 0, random: Math.random, epoch: 1 })
    t.equal(
      cut.fromBytes(disk.subarray(0, disk.length - 3), 0),
      3,
      'a damaged file gives what stands before the damage',
    )
  },
)

t.test('a snapshot remembers who was gone and for how long', async t => {
  const lab = new Lab()
  const limits = { deadMs: 100_000 }
  const [a, b] = [lab.add('a', { limits }), lab.add('b', { limits })]
  put(a, 'web', '1')
  lab.run(1_000)
  b.onMember(event('dead', 'a', 'dead'), lab.now)
  lab.run(40_000)
  const disk = b.toBytes(5_000_000)
  const alone = new Lab()
  const again = alone.add('b', { limits, seeds: false })
  again.fromBytes(disk, 5_040_000)
  alone.run(10_000)
  t.same(all(again), ['web a 1 stale'])
  alone.run(15_000)
  t.same(all(again), [], '40 s before, 40 s on disk, 20 s after')
})

t.test('the fingerprint of the records differs when what is stored does', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  const seen = new Set<string>()
  const differs = (what: string): void => {
    t.notOk(seen.has(a.fingerprint), what)
    seen.add(a.fingerprint)
    lab.now += 1
    t.ok(seen.has(a.fingerprint), 'and does not with time')
  }
  differs('nothing')
  a.publish(vip('web.f'), Buffer.from('one'))
  lab.run(1_000)
  differs('ours')
  a.publish(vip('web.f'), Buffer.from('two'))
  lab.run(1_000)
  differs('another value')
  b.publish(vip('web.f'), Buffer.from('b'))
  lab.run(1_000)
  differs("another's")
  for (const [type, state] of [
    ['dead', 'dead'],
    ['leave', 'left'],
  ] as const) {
    a.onMember(event(type, 'b', state), lab.now)
    differs(`the other is ${state}`)
  }
})

t.test('synced says whether absence means anything', async t => {
  const lab = new Lab()
  t.ok(lab.add('seedless', { seeds: false }).synced, 'nobody to wait for')
  const alone = new Lab()
  const lost = alone.add('lost', { seeds: true })
  alone.run(3_600_000)
  t.notOk(lost.synced, 'who hears nobody does not know what there is')
  lost.alone()
  t.ok(lost.synced, 'who is told that there is nobody does')
  const walled = new Lab()
  walled.passes = () => false
  const [one] = [walled.add('one', { seeds: true }), walled.add('two')]
  walled.run(3_600_000)
  t.notOk(one.synced, 'a peer is there, but nothing comes of it')
  const cold = new Lab()
  for (const name of ['a', 'b', 'c']) cold.add(name, { seeds: true })
  cold.run(4_000)
  for (const node of cold.nodes.values()) t.notOk(node.synced, 'others may not have published yet')
  cold.run(4_000)
  for (const node of cold.nodes.values()) t.ok(node.synced, 'a ring that starts all at once')
})

t.test(
  'a late joiner gets everything by stream, a second peer confirms, and changes come as pushes',
  async t => {
    const lab = new Lab()
    const [a] = [lab.add('a'), lab.add('b')]
    for (let i = 0; i < 3_000; i++) put(a, `app-${i}.example.org`, `${i}`)
    lab.run(6_000)
    const late = lab.add('late')
    let most = 0
    late.onChange(keys => {
      most = Math.max(most, keys.length)
    })
    lab.run(1_000)
    t.ok(late.synced)
    t.equal(late.stats().entries, 3_000)
    t.ok(most <= 1_000, 'told in slices')
    lab.run(3_000)
    t.equal(late.stats().exchanges, 2)
    put(a, 'new.example.org', 'x')
    lab.run(300)
    t.same(texts(late.lookup(vip('new.example.org'))), ['new.example.org a x'])
  },
)

t.test('a value too large for a packet is announced and fetched by stream', async t => {
  const lab = new Lab()
  const [a, b, c] = ['a', 'b', 'c'].map(name => lab.add(name)) as [Records, Records, Records]
  put(a, 'small', 'x')
  lab.run(5_000)
  const before = lab.streams
  put(a, 'large', 'y'.repeat(20_000))
  lab.run(1_500)
  for (const node of [b, c]) t.equal(node.lookup(vip('large'))[0]?.value.length, 20_000)
  t.ok(lab.streams > before)
  t.equal(b.lookup(vip('small')).length, 1)
})

t.test('an update overtaken by the next is joined on, one that is lost is fetched', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'x', '1')
  lab.run(10_000)
  lab.passes = (from, to) => !(from === 'a' && to === 'b')
  put(a, 'y', '1')
  lab.run(8_000)
  t.same(all(b), ['x a 1'])
  lab.passes = () => true
  put(a, 'z', '1')
  lab.run(600)
  t.same(
    all(b),
    ['x a 1', 'y a 1', 'z a 1'],
    'the gap was seen and asked for without waiting for a digest',
  )
  t.equal(b.stats().deltasGap > 0, true)
})

t.test('a difference nobody pushes about is found by digest', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  put(a, 'x', '1')
  lab.run(10_000)
  lab.passes = () => false
  for (let i = 0; i < 40; i++) put(a, `lost-${i}`, '1')
  put(b, 'mine', '1')
  lab.run(20_000)
  lab.passes = () => true
  lab.run(4_000)
  t.equal(all(b).length, 42)
  t.same(all(a), all(b))
  t.ok(b.stats().digestMismatches + a.stats().digestMismatches > 0)
})

t.test('deletions are forgotten in time, and who is older gets the whole state', async t => {
  const lab = new Lab()
  const limits = { tombstoneMs: 5_000 }
  const [a, b] = [lab.add('a', { limits }), lab.add('b', { limits })]
  for (let i = 0; i < 5; i++) put(a, `n${i}`, '1')
  lab.run(2_000)
  lab.passes = () => false
  for (let i = 0; i < 3; i++) a.withdraw(vip(`n${i}`))
  lab.run(1_000)
  t.equal(a.stats().tombstones, 3)
  lab.run(6_000)
  t.equal(a.stats().tombstones, 0)
  put(a, 'n4', '2')
  lab.run(6_000)
  lab.passes = () => true
  lab.run(5_000)
  t.same(all(b), ['n3 a 1', 'n4 a 2'])
})

t.test('an owner that churns names does not fill the table with tombstones', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a'), lab.add('b')]
  for (let i = 0; i < 1_200; i++) {
    put(a, `churn-${i}`, 'x')
    if (i > 0) a.withdraw(vip(`churn-${i - 1}`))
    lab.run(100)
  }
  lab.run(5_000)
  t.ok(a.stats().tombstones <= 256 && b.stats().tombstones <= 256)
  t.same(all(b), ['churn-1199 a x'])
  t.ok(a.stats().keys < 300)
})

t.test('members that do not speak our records are never sent any', async t => {
  const lab = new Lab()
  const a = lab.add('a')
  a.onMember(event('join', 'serf', 'alive', false), lab.now)
  put(a, 'x', '1')
  const sends = []
  for (let i = 0; i < 100; i++) {
    lab.now += 20
    sends.push(...a.poll(lab.now).sends)
  }
  t.same(sends, [])
  t.equal(a.stats().peers, 0)
  a.onMember(event('update', 'serf', 'alive', true), lab.now)
  t.equal(a.stats().peers, 1, 'until its tags say that it does')
})

t.test('a flood keeps to the byte budget and the digest brings the rest', async t => {
  const lab = new Lab()
  const [a, b] = [lab.add('a', { limits: { hotBytes: 2_000 } }), lab.add('b')]
  lab.run(5_000)
  const before = a.stats().bytesOut
  for (let i = 0; i < 500; i++) {
    put(a, `flood-${i}`, 'x'.repeat(60))
    lab.run(10)
  }
  const spent = a.stats().bytesOut - before
  t.ok(spent < 50_000, `${spent} octets in packets for 45,000 octets of updates`)
  lab.run(8_000)
  t.equal(all(b).length, 500)
})
