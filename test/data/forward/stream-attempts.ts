/** One question over a stream, and the second attempt when the first is late. */
import t from 'tap'
import { StreamAttempts } from '../../../src/data/forward/stream-attempts.ts'

/** Attempts that the test ends one by one. */
const attempts = () => {
  const asked: {
    fresh: boolean
    signal: AbortSignal
    answer: (text: string) => void
    fail: () => void
  }[] = []
  const one = new StreamAttempts(
    (signal, fresh) =>
      new Promise((resolve, reject) => {
        const answer = (text: string): void => resolve(Buffer.from(text))
        asked.push({ fresh, signal, answer, fail: () => reject(new Error('no answer')) })
      }),
  )
  let said = ''
  one.response.then(
    wire => (said = wire.toString()),
    () => (said = 'failed'),
  )
  const settled = async (): Promise<string> => {
    await new Promise(setImmediate)
    return said
  }
  return { one, asked, settled, fresh: () => asked.map(({ fresh }) => fresh) }
}

t.test('the first attempt may use any connection, and is enough if it answers', async t => {
  const { one, asked, settled, fresh } = attempts()
  t.same(fresh(), [false])
  t.equal(await settled(), '')
  asked[0]!.answer('first')
  t.equal(await settled(), 'first')
  t.ok(asked[0]!.signal.aborted, 'nothing of it goes on')
  one.again()
  t.equal(await settled(), 'first')
})

t.test('without a second attempt the failure of the first is final', async t => {
  const { asked, settled } = attempts()
  asked[0]!.fail()
  t.equal(await settled(), 'failed')
})

t.test('a second attempt is made once, over a fresh connection; either may answer', async t => {
  for (const [ends, expected] of [
    [['answer 0'], 'first'],
    [['answer 1'], 'second'],
    [['fail 0', 'answer 1'], 'second'],
    [['fail 1', 'answer 0'], 'first'],
    [['fail 0'], ''],
    [['fail 1'], ''],
    [['fail 0', 'fail 1'], 'failed'],
  ] as const) {
    const { one, asked, settled, fresh } = attempts()
    one.again()
    one.again()
    t.same(fresh(), [false, true])
    for (const end of ends) {
      const [what, nth] = end.split(' ')
      const attempt = asked[Number(nth)]!
      if (what === 'fail') attempt.fail()
      else attempt.answer(nth === '0' ? 'first' : 'second')
      await settled()
    }
    t.equal(await settled(), expected, ends.join(', '))
    const over = expected !== ''
    t.same(
      asked.map(({ signal }) => signal.aborted),
      [over, over],
      'the other one is stopped',
    )
  }
})

t.test('both end when nobody wants them any more', async t => {
  const { one, asked } = attempts()
  one.again()
  one.stop()
  t.same(
    asked.map(({ signal }) => signal.aborted),
    [true, true],
  )
})
