/** Seeds that follow the masters, over real sockets on loopback. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { silent } from '../../../src/base/log.ts'
import type { Config } from '../../../src/config/config.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { GossipPart } from '../../../src/control/sharing/gossip-part.ts'
import { freePort, ownAddresses } from '../../fixture/address.ts'
import { folder } from '../../fixture/folder.ts'

const until = async (what: () => boolean): Promise<boolean> => {
  for (let i = 0; i < 6_000; i++) {
    if (what()) return true
    await sleep(10)
  }
  return false
}

type Node = { readonly part: GossipPart; readonly config: Config; synced(): boolean }

const start = async (
  t: Test,
  folders: string,
  node: string,
  at: string,
  port: number,
  gossip: string,
  masters = '',
): Promise<Node> => {
  const { config } = loadConfig(
    'spartan.yaml',
    [
      `node: ${node}`,
      'listen: { addresses: ["127.0.0.1:0"] }',
      `gossip: { bind: "${at}:${port}", insecure: true, stateDir: ${folders}/${node}, ${gossip} }`,
      masters,
    ].join('\n'),
    { hostname: node, networks: [] },
  )
  const part = new GossipPart({
    log: silent,
    random: Math.random,
    send: () => {},
    caughtUp: async () => {},
    resolve: async () => [],
    ownAddress: () => at,
    attached: () => [],
    ownIp: () => at,
    logins: new Map(),
    leads: () => false,
    onOpen: () => {},
    onVips: () => {},
    onZone: () => {},
    onSynced: () => {},
    zone: () => undefined,
  })
  t.teardown(() => part.close())
  await part.start(config)
  return { part, config, synced: () => part.view()?.synced ?? false }
}

const alive = ({ part }: Node): number => part.view()?.members.alive ?? 0

t.test(
  'the masters of the moment are seeds, and a list that is not there yet is waited for',
  async t => {
    const folders = folder(t, { a: {}, b: {}, c: {} })
    const [a = '', b = '', c = ''] = ownAddresses(3)
    const port = await freePort([a, b, c])
    const first = await start(t, folders, 'a', a, port, 'seeds: []')
    t.ok(await until(first.synced), 'a node that was told that it is alone is in step')
    const file = 'masters: { source: file, file: /nowhere }'
    const node = await start(t, folders, 'b', b, port, 'seedMasters: true', file)
    await sleep(500)
    t.notOk(node.synced(), 'an empty list of masters does not say that it is alone')
    node.part.mastersChanged([{ address: b, port: 61053 }])
    await sleep(500)
    t.notOk(node.synced(), 'nor does a list of itself alone, which others may join')
    node.part.mastersChanged([
      { address: b, port: 61053 },
      { address: a, port: 61053 },
    ])
    t.ok(await until(node.synced), 'joined through the new master, at the port of the gossip')
    t.equal(alive(node), 2)

    // a third knows only the second, which is a master now
    const third = await start(t, folders, 'c', c, port, 'seedMasters: true', file)
    third.part.mastersChanged([{ address: b, port: 61053 }])
    t.ok(await until(() => third.synced() && alive(third) === 3))
  },
)

t.test('a list in the configuration is what the node was told', async t => {
  const folders = folder(t, { a: {}, b: {}, c: {} })
  const [a = '', b = ''] = ownAddresses(2)
  const port = await freePort([a, b])
  const first = await start(
    t,
    folders,
    'a',
    a,
    port,
    'seedMasters: true',
    `masters: { source: static, addresses: ["${a}"] }`,
  )
  t.ok(await until(first.synced), 'itself as the only master: alone')
  const both = `masters: { source: static, addresses: ["${b}", "${a}"] }`
  const second = await start(t, folders, 'b', b, port, 'seedMasters: true', both)
  t.ok(await until(second.synced), 'the other master is asked before any list is read')
  t.equal(alive(second), 2)
})

t.test('a reload adds and takes away the masters', async t => {
  const folders = folder(t, { a: {}, b: {}, c: {} })
  const [a = '', b = ''] = ownAddresses(2)
  const port = await freePort([a, b])
  const first = await start(t, folders, 'a', a, port, 'seeds: []')
  const masters = `masters: { source: static, addresses: ["${a}"] }`
  const second = await start(t, folders, 'b', b, port, `seeds: ["${b}:1"]`, masters)
  await sleep(300)
  t.notOk(second.synced(), 'its own seed is dead')
  const { config } = second
  second.part.reload(config, { ...config, gossip: { ...config.gossip!, seedMasters: true } })
  t.ok(await until(second.synced))
  t.ok(await until(() => alive(first) === 2))
})
