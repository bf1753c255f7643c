/**
 * The daemon's gossip over real sockets on loopback: nodes find each other, all show what one publishes, and a
 * restarted node serves its stored records before any peer answers.
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { generatedKey } from '../../src/gossip/keyring.ts'
import { Gossip } from '../../src/gossip/service.ts'
import { silent } from '../../src/base/log.ts'
import { freePort, ownAddresses } from '../fixture/address.ts'
import { folder } from '../fixture/folder.ts'

const until = async (what: () => boolean): Promise<boolean> => {
  for (let i = 0; i < 2_000; i++) {
    if (what()) return true
    await sleep(10)
  }
  return false
}

type Where = { readonly address: string; readonly port: number }

const start = async (
  t: Test,
  node: string,
  bind: Where,
  seeds: readonly Where[],
  stateDir = '',
  keyring = '',
  now = (): number => performance.now(),
): Promise<Gossip> => {
  const gossip = new Gossip({
    config: {
      bind,
      advertise: undefined,
      seeds,
      keyring,
      insecure: keyring === '',
      clusterName: '',
      stateDir,
    },
    node,
    version: '0.0.0',
    log: silent,
    now,
    random: Math.random,
    wallClock: Date.now,
    allow: key => !key.name.endsWith('.spartan'),
  })
  t.teardown(() => gossip.ring.close())
  await gossip.start()
  return gossip
}

const shown = (gossip: Gossip): string[] =>
  [...gossip.records.entries('vip')]
    .map(e => `${e.name} ${e.owner} ${Buffer.from(e.value).toString()}${e.stale ? ' stale' : ''}`)
    .sort()

const publish = (gossip: Gossip, name: string, value: string): boolean =>
  gossip.records.publish({ kind: 'vip', name }, Buffer.from(value))

t.test('nodes over encrypted sockets learn from each other what each publishes', async t => {
  const addresses = ownAddresses(3)
  const port = await freePort(addresses)
  const at = addresses.map(address => ({ address, port }))
  const keyring = join(folder(t), 'keyring.json')
  writeFileSync(keyring, JSON.stringify([generatedKey()]), { mode: 0o600 })
  const [first, second, third] = at as [Where, Where, Where]
  const a = await start(t, 'a', first, [], '', keyring)
  await a.synced
  publish(a, 'web.marathon', 'a')
  const b = await start(t, 'b', second, [first], '', keyring)
  await b.synced
  t.ok(await until(() => shown(b).length === 1), 'a joiner has what was there')
  const c = await start(t, 'c', third, [second], '', keyring)
  publish(b, 'web.marathon', 'b')
  publish(b, 'ready.spartan', 'never')
  for (const node of [a, b, c])
    t.ok(
      await until(() => shown(node).join() === 'web.marathon a a,web.marathon b b'),
      shown(node).join(),
    )
  t.ok(await until(() => a.members().length === 3))
  t.equal(a.status().encrypted, true)
  t.ok(a.members().every(member => member.capable && member.tags['role'] === 'spartan'))
  await b.close()
  t.ok(await until(() => shown(a).join() === 'web.marathon a a'), 'who says good-bye is hidden')
})

t.test('a restarted node serves what it had, marked stale, and then what there is', async t => {
  const addresses = ownAddresses(2)
  const port = await freePort(addresses)
  const [first, second] = addresses.map(address => ({ address, port })) as [Where, Where]
  const stateDir = join(folder(t, { state: {} }), 'state', 'gossip')
  const a = await start(t, 'a', first, [])
  publish(a, 'web.marathon', 'one')
  const b = await start(t, 'b', second, [first], stateDir)
  publish(b, 'mine.marathon', 'b')
  t.ok(await until(() => shown(a).length === 2 && shown(b).length === 2))
  await b.close()
  t.ok(existsSync(join(stateDir, 'records')))
  publish(a, 'web.marathon', 'two')
  await a.close()
  const alone = await start(t, 'b', second, [first], stateDir)
  t.same(shown(alone), ['mine.marathon b b stale', 'web.marathon a one stale'])
  t.notOk(alone.records.synced)
  const again = await start(t, 'a', first, [])
  publish(again, 'web.marathon', 'three')
  t.ok(
    await until(() => shown(alone).join() === 'mine.marathon b b,web.marathon a three'),
    shown(alone).join(),
  )
  await alone.close()
  t.ok(readFileSync(join(stateDir, 'records')).length > 50)
})

t.test(
  'records that have not changed are not written again, unless their file is gone',
  async t => {
    const [address = ''] = ownAddresses(1)
    const stateDir = folder(t)
    const gossip = await start(t, 'a', { address, port: 0 }, [], stateDir)
    const file = join(stateDir, 'records')
    const save = async (): Promise<number> => {
      await gossip.save()
      return statSync(file).ino
    }
    const first = await save()
    t.equal(await save(), first)
    publish(gossip, 'web.marathon', 'one')
    t.ok(await until(() => shown(gossip).length === 1))
    const second = await save()
    t.not(second, first)
    t.ok(readFileSync(file).includes('web.marathon'))
    t.equal(await save(), second)
    rmSync(file)
    await save()
    t.ok(readFileSync(file).includes('web.marathon'))
    await gossip.close()
  },
)

t.test('records of ours that find no room are told of in the log, once a minute', async t => {
  const [address = ''] = ownAddresses(1)
  const said: { readonly message: string; readonly fields?: object }[] = []
  const log = {
    ...silent,
    warn: (message: string, fields?: object) =>
      said.push({ message, ...(fields ? { fields } : {}) }),
  }
  let later = 0
  const gossip = new Gossip({
    config: {
      bind: { address, port: 0 },
      advertise: undefined,
      seeds: [],
      keyring: '',
      insecure: true,
      clusterName: '',
      stateDir: '',
    },
    node: 'a',
    version: '0.0.0',
    log: log as typeof silent,
    now: () => performance.now() + later,
    random: Math.random,
    wallClock: Date.now,
    allow: () => true,
    limits: { ownerEntries: 2 },
  })
  t.teardown(() => gossip.ring.close())
  await gossip.start()
  const warned = (): number => said.filter(({ message }) => message.includes('no room')).length
  for (const name of ['one', 'two', 'three']) t.ok(publish(gossip, name, 'x'))
  t.ok(await until(() => warned() === 1))
  t.match(
    said.find(({ message }) => message.includes('no room')),
    { fields: { cap: 'owner-cap', records: 1 } },
  )
  t.equal(gossip.records.stats().waiting, 1, 'the metric has them')
  publish(gossip, 'four', 'x')
  t.ok(await until(() => gossip.records.stats().waiting === 2))
  t.equal(warned(), 1)
  later = 61_000
  publish(gossip, 'five', 'x')
  t.ok(await until(() => warned() === 2))
})

t.test('a host without an address shows its own, and gossips when it has one', async t => {
  const [seed = ''] = ownAddresses(1)
  let [later, own] = [0, '']
  const gossip = new Gossip({
    config: {
      bind: { address: '0.0.0.0', port: 0 },
      advertise: undefined,
      seeds: [{ address: seed, port: 1 }],
      keyring: '',
      insecure: true,
      clusterName: '',
      stateDir: '',
    },
    ownAddress: () => own,
    node: 'a',
    version: '0.0.0',
    log: silent,
    now: () => performance.now() + later,
    random: Math.random,
    wallClock: Date.now,
    allow: () => true,
  })
  t.teardown(() => gossip.ring.close())
  await t.rejects(gossip.start(), { code: 'ESTATE' })
  own = '2001:db8::7'
  await t.rejects(gossip.start(), { code: 'ESTATE' }, 'bound to IPv4, it is not reached by IPv6')
  own = ''
  publish(gossip, 'web', 'x')
  t.notOk(gossip.records.synced)
  later = 90_000
  gossip.records.poll(performance.now() + later)
  t.notOk(gossip.records.synced, 'to hear nobody is no proof that nobody is there')
  t.same(
    [...gossip.records.entries('vip')].map(entry => entry.name),
    ['web'],
  )
  own = seed
  await gossip.start()
  t.equal(gossip.status().at.address, seed)
})

t.test('a state directory that holds nonsense is no reason not to start', async t => {
  const [address = ''] = ownAddresses(1)
  const stateDir = folder(t, { records: 'nonsense', 'ring.json': '{' })
  const gossip = await start(t, 'a', { address, port: 0 }, [], stateDir)
  await gossip.synced
  t.same(shown(gossip), [])
  await gossip.close()
})

t.test('a node is alone only if it was told so: not by a wrong key, name or seed', async t => {
  const dir = folder(t)
  const keyring = (name: string): string => {
    const file = join(dir, name)
    writeFileSync(file, JSON.stringify([generatedKey()]), { mode: 0o600 })
    return file
  }
  const [own, others] = [keyring('own'), keyring('others')]
  const [seedAt = '', ...ats] = ownAddresses(6)
  const port = await freePort([seedAt, ...ats])
  const seed = { address: seedAt, port }
  await start(t, 'seed', seed, [], '', own)
  const cases: readonly (readonly [
    why: string,
    seeds: readonly Where[],
    keyring: string,
    clusterName: string,
    bind: string,
    alone: boolean,
  ])[] = [
    ['another key', [seed], others, '', ats[0]!, true],
    ['another cluster name', [seed], own, 'else', ats[1]!, true],
    ['no key', [seed], '', '', ats[2]!, true],
    ['a dead seed', [{ address: seedAt, port: 1 }], own, '', ats[3]!, true],
    ['itself as seed', [{ address: ats[4]!, port }], own, '', ats[4]!, false],
    ['the right seed', [seed], own, '', ats[2]!, false],
  ]
  for (const [why, seeds, ring, clusterName, address, alone] of cases) {
    let later = 0
    const said: (object | undefined)[] = []
    const gossip = new Gossip({
      config: {
        bind: { address, port },
        advertise: undefined,
        seeds,
        keyring: ring,
        insecure: ring === '',
        clusterName,
        stateDir: '',
      },
      node: why,
      version: '0.0.0',
      log: {
        ...silent,
        warn: (_: string, fields?: object) => void said.push(fields),
      } as typeof silent,
      now: () => performance.now() + later,
      random: Math.random,
      wallClock: Date.now,
      allow: () => true,
    })
    await gossip.start()
    if (!alone) t.ok(await until(() => gossip.records.synced), why)
    else {
      t.equal(gossip.trouble, '', `${why}: it has just started`)
      for (const ms of [31_000, 65_000, 3_600_000]) {
        later = ms
        gossip.records.poll(performance.now() + later)
        t.notOk(gossip.records.synced, `${why}, ${ms} ms`)
        t.match(gossip.trouble, /no other member found through .*down, or with another key/)
      }
      t.ok(await until(() => /no other member/.test(JSON.stringify(said))), 'the log')
      gossip.setSeeds([])
      t.ok(gossip.records.synced, 'a reload says that there is nobody')
      t.equal(gossip.trouble, '')
    }
    await gossip.ring.close()
  }
})

t.test('of two nodes with one name the ring keeps one, and all say so', async t => {
  const addresses = ownAddresses(4)
  const port = await freePort(addresses)
  const [first, second, third, fourth] = addresses.map(address => ({ address, port })) as [
    Where,
    Where,
    Where,
    Where,
  ]
  const a = await start(t, 'a', first, [])
  const b = await start(t, 'b', second, [first])
  const c = await start(t, 'c', third, [first])
  publish(b, 'web.marathon', 'right')
  t.ok(await until(() => [a, c].every(node => shown(node).join() === 'web.marathon b right')))
  let later = 0
  const twin = await start(t, 'b', fourth, [first], '', '', () => performance.now() + later)
  publish(twin, 'web.marathon', 'wrong')
  while (!/the ring keeps that one/.test(twin.twins.join())) await sleep(50)
  t.match(twin.twins.join(), `b, too, at ${second.address}:${port}`)
  t.match([...a.twins, ...c.twins].join(), /two nodes are called b/)
  t.ok(await until(() => [a, b, c].every(node => shown(node).join() === 'web.marathon b right')))
  t.same(
    [a, c].map(node => node.members().find(({ name }) => name === 'b')?.address),
    [second.address, second.address],
  )
  await b.ring.close()
  const state = (node: Gossip): string | undefined =>
    node.members().find(({ name }) => name === 'b')?.state
  t.ok(await until(() => [a, c].every(node => state(node) === 'dead')))
  // Only this node's clock is ahead, so the others must know before it comes back that the other one is gone.
  t.ok(
    await until(() => {
      later += 1_000
      twin.ring.nudge()
      return twin.twins.length === 0
    }),
    'it comes back when the other one has been gone for a while',
  )
  t.ok(
    await until(() => [a, c].every(node => shown(node).join() === 'web.marathon b wrong')),
    'and its records are those of the name',
  )
})

t.test('an epoch is used once, also after a crash and with a clock that is behind', async t => {
  const addresses = ownAddresses(2)
  const port = await freePort(addresses)
  const [first, second] = addresses.map(address => ({ address, port })) as [Where, Where]
  const stateDir = folder(t)
  const a = await start(t, 'a', first, [])
  const epochs: number[] = []
  // the clock of the first start was ahead
  for (const [i, ahead] of [600, 0, 0].entries()) {
    const b = new Gossip({
      config: {
        bind: second,
        advertise: undefined,
        seeds: [first],
        keyring: '',
        insecure: true,
        clusterName: '',
        stateDir,
      },
      node: 'b',
      version: '0.0.0',
      log: silent,
      now: () => performance.now(),
      random: Math.random,
      wallClock: () => Date.now() + ahead * 1_000,
      allow: () => true,
    })
    // the records on disk are those of the first start: the others crash before they write them
    if (i > 0) b.severed = true
    await b.start()
    publish(b, `run${i}`, 'x')
    if (i === 0) t.ok(await until(() => shown(a).length === 1 && b.records.synced))
    else t.ok(await until(() => shown(b).some(line => line.startsWith(`run${i} `))))
    epochs.push(b.records.epoch)
    if (i === 0) await b.close()
    else await b.ring.close()
  }
  t.ok(epochs[1]! > epochs[0]! && epochs[2]! > epochs[1]!, epochs.join(' '))
})
