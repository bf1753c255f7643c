import t, { type Test } from 'tap'
import { ControlPlane, type ControlOptions } from '../../src/control/control-plane.ts'
import { Parts } from '../../src/control/parts.ts'
import type { Config } from '../../src/config/config.ts'
import type { Snapshot } from '../../src/boundary/messages.ts'
import { silent } from '../../src/base/log.ts'
import { configOf } from '../fixture/config.ts'
import { until } from '../fixture/scripted-http.ts'

/** A control plane whose parts run under supervision, as in the daemon. */
const running = (t: Test, config: Config, options: ControlOptions): ControlPlane => {
  const control = new ControlPlane(() => config, config.listen.addresses, options)
  const parts = new Parts({ log: silent, random: Math.random })
  parts.add(...control.parts)
  t.teardown(() => parts.close(5_000))
  void parts.start(config)
  return control
}

t.test('this node has a name as soon as it has an address, and under each new one', async t => {
  const config = configOf()
  let address = ''
  const control = running(t, config, {
    log: silent,
    random: Math.random,
    send: () => {},
    caughtUp: async () => {},
    resolve: async () => [],
    ownAddress: () => address,
    attached: () => [],
  })
  const apex = 'thisnode.thisdcos.directory'
  const said = (): string => control.zones.publisher.zone(apex)?.get(apex)?.[0]?.data.join() ?? ''
  t.equal(said(), '', 'at boot')
  for (const one of ['192.0.2.7', '192.0.2.8']) {
    address = one
    await until(() => said() === one)
    t.equal(said(), one)
  }
})

t.test(
  'who may ask by default follows the networks of this host; a list stays as it is',
  async t => {
    for (const [sections, expected] of [
      [{}, ['127.0.0.0/8', '::1/128', '172.17.0.0/16']],
      [{ allow: ['192.0.2.0/24'] }, ['192.0.2.0/24']],
    ] as const) {
      const config = configOf(sections)
      let networks: string[] = []
      let looks = 0
      const sent: Snapshot[] = []
      running(t, config, {
        log: silent,
        random: Math.random,
        send: message => void (message.type === 'snapshot' && sent.push(message.snapshot)),
        caughtUp: async () => {},
        resolve: async () => [],
        // Asked for at each look, before the networks are.
        ownAddress: () => (looks++, ''),
        attached: () => networks,
      })
      t.same(sent.at(-1)?.allow, config.allow)
      networks = ['172.17.0.0/16']
      const before = looks
      await until(() => looks >= before + 2)
      t.same(sent.at(-1)?.allow, expected)
    }
  },
)
