/**
 * Reads TAP 14 line by line and counts assertions, which are the leaves. A subtest's own failure only counts if
 * nothing inside it failed (a timeout, a thrown error). Names and diagnostics of failures are kept.
 */

/** Of what a test that failed said in comments, the last lines are kept: a journal, a program's output. */
const KEPT_COMMENTS = 200

/**
 * @typedef {{ at: string[], name: string, detail: string[] }} Failure
 * @typedef {{ at: string[], reason: string }} Skip
 */

const POINT = /^( *)(not )?ok\b(?: \d+)?(?: - )?(.*)$/
const SUBTEST = /^( *)# Subtest: (.*)$/
/** Without what tap says of a subtest's time. */
const COMMENT = /^ +# (?!time=)(.*)$/
const DIRECTIVE = /(?:^|[^\\])#\s*(skip|todo)\b\s*(.*?)\s*$/i
const TIME = /\s*# time=([\d.]+)(ms|s|m)$/

/** @param {string} text with TAP's escapes */
const plain = text => text.replace(/\\([\\#])/g, '$1')

export class TapReader {
  passed = 0
  filesSeen = 0
  /** @type {Failure[]} */
  failures = []
  /** @type {Skip[]} */
  skips = []
  /** @type {{ file: string, lines: string[] }[]} comments of the files in which something failed */
  comments = []
  /** @type {string[]} comments of the file that is being read */
  #said = []
  /** Open subtests by depth: their name, and the counts when they began. */
  #open = []
  /** @type {string[] | undefined} receives the diagnostics that follow */
  #detail
  /** @type {string | undefined} the line that ends the current YAML block */
  #until
  #say

  /** @param {(line: string) => void} say called with a line of progress for each file */
  constructor(say) {
    this.#say = say
  }

  /** @param {string} line */
  line(line) {
    if (this.#until !== undefined) return this.#diagnostic(line)
    const subtest = SUBTEST.exec(line)
    if (subtest) return this.#enter(subtest[1].length / 4, subtest[2])
    const point = POINT.exec(line)
    if (point) return this.#point(point[1].length / 4, point[2] === undefined, point[3])
    const comment = COMMENT.exec(line)
    if (comment) {
      this.#said.push(comment[1])
      if (this.#said.length > KEPT_COMMENTS) this.#said.shift()
      return
    }
    const yaml = /^( *)---$/.exec(line)
    if (yaml) {
      this.#until = `${yaml[1]}...`
      return
    }
    if (line.startsWith('Bail out!')) this.failures.push({ at: [], name: line, detail: [] })
  }

  end() {
    for (const { name } of this.#open.slice(0, 1))
      this.failures.push({ at: [], name, detail: ['  its result is missing'] })
  }

  #diagnostic(line) {
    if (line === this.#until) {
      this.#until = undefined
      this.#detail = undefined
    } else this.#detail?.push(line)
  }

  #enter(depth, name) {
    this.#open.length = Math.min(this.#open.length, depth)
    this.#open.push({ name: plain(name), depth, failed: this.failures.length, passed: this.passed })
  }

  #point(depth, ok, rest) {
    this.#detail = undefined
    const buffered = rest.endsWith(' {')
    const text = (buffered ? rest.slice(0, -2) : rest).trim()
    const time = TIME.exec(text)
    const words = text.replace(TIME, '')
    const directive = DIRECTIVE.exec(words)
    const name = plain(words.replace(DIRECTIVE, '').trim())
    if (buffered) {
      this.#enter(depth, name)
      return
    }
    const closed = this.#open[depth]
    const at = this.#open.slice(0, depth).map(one => one.name)
    this.#open.length = Math.min(this.#open.length, depth)
    if (closed) {
      if (!ok && this.failures.length === closed.failed) this.#fail(at, name)
      if (directive && closed.passed === this.passed) this.#skip([...at, closed.name], directive)
    } else if (directive?.[1]?.toLowerCase() === 'skip') this.#skip([...at, name], directive)
    else if (ok) this.passed++
    else if (!directive) this.#fail(at, name)
    else this.#skip([...at, name], directive)
    if (depth === 0) {
      this.filesSeen++
      if (!ok && this.#said.length > 0) this.comments.push({ file: name, lines: this.#said })
      this.#said = []
      const count = this.passed - (closed?.passed ?? 0)
      this.#say(
        `${ok ? 'ok    ' : 'NOT OK'} ${name}  ${count} passed${time ? `, ${time[1]} ${time[2]}` : ''}`,
      )
    }
  }

  #fail(at, name) {
    this.#detail = []
    this.failures.push({ at, name, detail: this.#detail })
  }

  #skip(at, directive) {
    // `t.skip('SKIPPED: why')` puts the reason into the test's name.
    const reason = (directive[2] || at.pop() || 'no reason given').replace(/^SKIPPED:\s*/i, '')
    // A file without tests is an error.
    if (/^no tests found/i.test(reason))
      this.failures.push({ at, name: 'no tests found', detail: [] })
    else this.skips.push({ at, reason })
  }
}
