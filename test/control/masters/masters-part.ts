import t from 'tap'
import { silent } from '../../../src/base/log.ts'
import type { Endpoint } from '../../../src/boundary/messages.ts'
import { MastersPart } from '../../../src/control/masters/masters-part.ts'
import { configOf } from '../../fixture/config.ts'

t.test('another source of masters never passes through an empty list', async t => {
  const lists: (readonly Endpoint[])[] = []
  const part = new MastersPart({
    log: silent,
    random: () => 0,
    send: () => {},
    caughtUp: async () => {},
    resolve: async () => [],
    ownAddress: () => '',
    attached: () => [],
    onLeader: () => {},
    ownIp: () => '',
    logins: new Map(),
    onChange: list => void lists.push(list),
  })
  const before = configOf({ masters: { addresses: ['192.0.2.1'] } })
  const after = configOf({ masters: { source: 'file', file: '/nowhere/masters.json' } })
  const there = [{ address: '192.0.2.1', port: 61053 }]
  part.start(before)
  t.strictSame(part.list, there, 'a list in the file is in use at once')
  await part.reload(before, after)
  t.strictSame(part.list, there, 'the last good list stays until there is another')
  t.strictSame(lists, [there])
  t.match(part.view(), { source: 'file', list: there })
  await part.close()
  t.strictSame(part.list, [], 'a section that goes takes its list along')
})
