import t from 'tap'
import { loadConfig } from '../src/config/load.ts'
import { ControlPlane } from '../src/control-plane.ts'
import { silent } from '../src/log.ts'
import { until } from './control/fixture/scripted-http.ts'

t.test('this node has a name as soon as it has an address, and under each new one', async t => {
  const { config } = loadConfig('spartan.yaml', 'listen: { addresses: [127.0.0.1:5300] }', {
    hostname: 'here',
    networks: [],
  })
  let address = ''
  const control = new ControlPlane(config, config.listen.addresses, {
    log: silent,
    random: Math.random,
    send: () => {},
    caughtUp: async () => {},
    resolve: async () => [],
    ownAddress: () => address,
  })
  t.teardown(() => control.close())
  const apex = 'thisnode.thisdcos.directory'
  const said = (): string => control.zones.zone(apex)?.get(apex)?.[0]?.data.join() ?? ''
  control.start()
  t.equal(said(), '', 'at boot')
  for (const one of ['192.0.2.7', '192.0.2.8']) {
    address = one
    await until(() => said() === one)
    t.equal(said(), one)
  }
})
