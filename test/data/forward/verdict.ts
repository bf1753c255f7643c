/** What replies amount to while none of them is positive: every sequence of them, for up to five upstreams. */
import t from 'tap'
import { soft } from '../../../src/data/forward/classify.ts'
import { NODATA, NXDOMAIN } from '../../../src/data/forward/lane.ts'
import { Verdict } from '../../../src/data/forward/verdict.ts'
import { RCODE } from '../../../src/wire/codes.ts'

t.test('a majority decides; until there is one, NODATA does less harm', async t => {
  for (let voters = 1; voters <= 5; voters++)
    for (let replies = 1; replies <= voters; replies++)
      for (let pattern = 0; pattern < 1 << replies; pattern++) {
        const states = Array.from({ length: replies }, (_, i) =>
          (pattern >> i) & 1 ? NXDOMAIN : NODATA,
        )
        const verdict = new Verdict(voters)
        states.forEach((state, lane) => verdict.negative(lane, state, Buffer.from([lane, 9]), 1))
        const count = (state: number): number => states.filter(s => s === state).length
        const majority = Math.floor(voters / 2) + 1
        const decided = [NXDOMAIN, NODATA].find(state => count(state) >= majority)
        const expected = decided ?? (count(NODATA) > 0 ? NODATA : NXDOMAIN)
        const says = `${voters} upstreams: ${states.join(' ')}`
        t.equal(verdict.agreed, decided !== undefined, says)
        t.equal(states[verdict.heldLane], expected, says)
        t.same(verdict.held, Buffer.from([verdict.heldLane]), `${says}: a copy of that reply`)
      }
})

t.test('of failures SERVFAIL says most, and otherwise the first', async t => {
  const { SERVFAIL, REFUSED, NOTIMP } = RCODE
  for (const [rcodes, lane] of [
    [[REFUSED], 0],
    [[REFUSED, NOTIMP], 0],
    [[REFUSED, SERVFAIL], 1],
    [[REFUSED, NOTIMP, SERVFAIL, SERVFAIL], 2],
    [[SERVFAIL, REFUSED], 0],
  ] as const) {
    const verdict = new Verdict(3)
    t.equal(verdict.softRcode, -1)
    rcodes.forEach((rcode, i) => verdict.soft(i, soft(rcode, `reason ${i}`)))
    t.match(verdict, { softRcode: rcodes[lane], softLane: lane, softBecause: `reason ${lane}` })
    t.equal(verdict.held, undefined)
  }
})
