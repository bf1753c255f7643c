import type { ServerResponse } from 'node:http'
import t from 'tap'
import { silent } from '../../../src/base/log.ts'
import { MesosPart } from '../../../src/control/mesos/mesos-part.ts'
import { configOf } from '../../fixture/config.ts'
import { records, subscribed } from '../../fixture/mesos.ts'
import { scriptedHttp, status, until } from '../../fixture/scripted-http.ts'

const part = (): MesosPart =>
  new MesosPart({
    log: silent,
    random: () => 0,
    send: () => {},
    caughtUp: async () => {},
    resolve: async () => [],
    ownAddress: () => '192.0.2.1',
    ownIp: () => '192.0.2.1',
    logins: new Map(),
    attached: () => [],
    masters: () => [],
    zooKeeper: () => undefined,
    onZone: () => {},
  })

t.test("only the node whose own master leads defends the gossip's zones", async t => {
  const master = await scriptedHttp(t, '127.14.30.1')
  const streams: ServerResponse[] = []
  master.on('/api/v1', response => {
    streams.push(response)
    response.writeHead(200)
    response.write(records(subscribed({ tasks: [] })))
  })
  const config = (leaderOnly: boolean) => configOf({ mesos: { master: master.base, leaderOnly } })
  const own = part()
  t.teardown(() => own.close())
  t.notOk(own.leads, 'before it runs')
  own.start(config(true))
  t.notOk(own.leads, 'before the master has answered')
  await until(() => own.leads)
  master.on('/api/v1', status(503))
  for (const stream of streams) stream.destroy()
  await until(() => !own.leads)
  t.pass('another master leads')
  await own.close()

  master.on('/api/v1', response => {
    streams.push(response)
    response.writeHead(200)
    response.write(records(subscribed({ tasks: [] })))
  })
  const elsewhere = part()
  t.teardown(() => elsewhere.close())
  const asked = master.bodies.length
  elsewhere.start(config(false))
  await until(() => master.bodies.length > asked)
  // The part has no signal for "subscribed", so an own part is started beside it and waited for.
  own.start(config(true))
  await until(() => own.leads)
  t.notOk(elsewhere.leads, 'who follows the leader from elsewhere')
})
