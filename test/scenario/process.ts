/**
 * The process itself under load: stopped, killed, frozen, reloaded. The
 * numbers are those of the chaos list.
 */
import t from 'tap'
import { once } from 'node:events'
import { ask } from '../fixture/client.ts'
import { mesos, none, stream, world } from '../fixture/cluster.ts'
import { daemon } from '../fixture/daemon.ts'

t.setTimeout(600_000)

t.test('25. SIGTERM under load: those who asked before are answered', async t => {
  const w = await world(t, { rules: [...mesos, { delay: 200 }] })
  const waiting = Array.from({ length: 50 }, (_, i) =>
    ask(w.d.addresses[i % 3]!, `n${i}.cold.mesos`),
  )
  await w.three.at(0).heard({}, 50)
  w.d.kill('SIGTERM')
  t.equal((await Promise.all(waiting)).filter(r => r.status === 'NOERROR').length, 50)
  t.equal(await w.d.exited, 0)
})

t.test('32. stopped for three seconds, then going on', async t => {
  const w = await world(t)
  await ask(w.d.at, 'n1.mesos')
  w.d.kill('SIGSTOP')
  const late = w.stub.lookup('n1.mesos')
  await new Promise(resolve => setTimeout(resolve, 3_000))
  w.d.kill('SIGCONT')
  t.equal((await late).result, 'ok')
  none(t, await stream(w))
})

t.test('33. a hundred reloads under load', async t => {
  const w = await world(t)
  const running = stream(w)
  for (let n = 0; n < 100; n++) {
    w.d.kill('SIGHUP')
    await new Promise(resolve => setTimeout(resolve, 15))
  }
  none(t, await running)
  await w.d.until('reloaded')
  t.equal(w.d.process.exitCode, null)
})

t.test(
  '26. killed and started again: clients see no failure while the other addresses are held by nobody',
  async t => {
    const w = await world(t)
    await ask(w.d.at, 'n1.mesos')
    w.d.kill('SIGKILL')
    await once(w.d.process, 'exit')
    const again = await daemon(t, {
      masters: w.three.config,
      listen: { addresses: w.d.addresses.map(a => a.address), port: w.d.at.port },
    })
    t.equal(
      (await ask(again.at, 'n1.mesos')).status,
      'NOERROR',
      'the same addresses can be bound at once',
    )
  },
)
