/** `listen.anyAddress`: a daemon on 0.0.0.0 answers at every address of the host, at those that come later, too. */
import t from 'tap'
import { ask } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { ownAddress } from '../fixture/address.ts'

t.test(
  'it answers from the address that was asked, which no interface listed at the start',
  { skip: process.platform === 'linux' ? false : 'SKIPPED: Linux only' },
  async t => {
    const d = await daemon(t, { listen: { addresses: ['0.0.0.0'], anyAddress: true } })
    const { port } = d.addresses[0]!
    for (const tcp of [false, true]) {
      const reply = await ask({ address: ownAddress(), port }, 'localhost', 'A', { tcp })
      t.match(reply, { status: 'NOERROR', answers: [{ data: '127.0.0.1' }] }, tcp ? 'TCP' : 'UDP')
    }
    const self = await ask({ address: '127.0.0.1', port }, 'ready.spartan')
    t.equal(self.status, 'NOERROR')
    t.notMatch(JSON.stringify(self.answers), /0\.0\.0\.0/, 'records hold real addresses')
  },
)
