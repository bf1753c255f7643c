/** When a node may say that a name without records does not exist. */
import t from 'tap'
import { SyncState } from '../../../src/gossip/records/sync-state.ts'

type Exchange = readonly [at: number, peer: string, what: 'synced' | 'unsynced' | 'failed']
const UNSYNCED = (...peers: readonly string[]): Exchange[] =>
  peers.map((peer, n) => [(n + 1) * 500, peer, 'unsynced'])

const rows: readonly (readonly [
  what: string,
  peers: number,
  exchanges: readonly Exchange[],
  synced: boolean,
])[] = [
  ['nobody was asked', 0, [], false],
  ['a synced peer', 4, [[10, 'a', 'synced']], true],
  ['a synced peer after unsynced ones', 4, [...UNSYNCED('a', 'b'), [2_000, 'c', 'synced']], true],
  ['a synced peer that could not be read', 4, [[10, 'a', 'failed']], false],
  [
    'one unsynced peer of several, again and again',
    4,
    [...UNSYNCED('a', 'a', 'a', 'a'), [9_000, 'a', 'unsynced']],
    false,
  ],
  ['all peers unsynced, sooner than they can publish', 3, UNSYNCED('a', 'b', 'c'), false],
  ['all peers unsynced, later', 3, [...UNSYNCED('a', 'b', 'c'), [5_000, 'a', 'unsynced']], true],
  [
    'all but one unsynced: that one may know more',
    4,
    [...UNSYNCED('a', 'b', 'c'), [9_000, 'a', 'unsynced']],
    false,
  ],
  [
    'the only peer unsynced',
    1,
    [
      [500, 'a', 'unsynced'],
      [5_000, 'a', 'unsynced'],
    ],
    true,
  ],
  [
    'eight of many unsynced',
    500,
    [...UNSYNCED('a', 'b', 'c', 'd', 'e', 'f', 'g'), [5_000, 'h', 'unsynced']],
    true,
  ],
  [
    'seven of many unsynced',
    500,
    [...UNSYNCED('a', 'b', 'c', 'd', 'e', 'f'), [5_000, 'g', 'unsynced']],
    false,
  ],
]
for (const [what, peers, exchanges, synced] of rows)
  t.test(`${what}: ${synced ? '' : 'not '}synced`, async t => {
    const state = new SyncState(true, 0, () => peers)
    for (const [at, peer, said] of exchanges)
      state.onExchange(peer, said !== 'failed', said === 'synced', at)
    t.equal(state.done, synced)
  })

t.test('who lost its peers again may count fewer', async t => {
  let peers = 3
  const state = new SyncState(true, 0, () => peers)
  for (const [at, peer] of UNSYNCED('a', 'b')) state.onExchange(peer, true, false, at)
  state.onExchange('a', true, false, 6_000)
  t.notOk(state.done, 'the third one is alive, and could not be asked yet')
  peers = 2
  state.onExchange('a', true, false, 6_500)
  t.ok(state.done, 'it is dead')
})

t.test(
  'our own records may be replaced after any whole exchange, or after ten seconds',
  async t => {
    const rows: readonly (readonly [
      what: string,
      exchanges: readonly Exchange[],
      heard: boolean,
    ])[] = [
      ['nobody was asked', [], false],
      ['a peer that could not be read', [[10, 'a', 'failed']], false],
      ['an unsynced peer', UNSYNCED('a'), true],
      ['a synced peer', [[10, 'a', 'synced']], true],
      ['a ring that has just started', [...UNSYNCED('a'), [5_000, 'a', 'unsynced']], true],
    ]
    for (const [what, exchanges, heard] of rows) {
      const state = new SyncState(true, 0, () => 1)
      for (const [at, peer, said] of exchanges)
        state.onExchange(peer, said !== 'failed', said === 'synced', at)
      t.equal(state.heard(9_999), heard, what)
      t.ok(state.heard(10_000), what)
    }
    t.ok(new SyncState(false, 0, () => 0).heard(0), 'nobody to wait for')
  },
)
