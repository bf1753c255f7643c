/** A unified diff of two short texts, to log a change to a system file. */

/** Lines of context around a change. */
const CONTEXT = 3
/** With more lines, the diff shows the whole old text as replaced, because the comparison takes quadratic time. */
const MAX_LINES = 1000

type Step = readonly [mark: ' ' | '-' | '+', line: string]

const linesOf = (text: string): string[] => {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** The edits from one text to the other along a longest common subsequence. */
const steps = (from: readonly string[], to: readonly string[]): Step[] => {
  if (from.length > MAX_LINES || to.length > MAX_LINES) {
    return [...from.map(line => ['-', line] as const), ...to.map(line => ['+', line] as const)]
  }
  const common = Array.from({ length: from.length + 1 }, () => new Uint16Array(to.length + 1))
  for (let i = from.length - 1; i >= 0; i--) {
    for (let j = to.length - 1; j >= 0; j--) {
      common[i]![j] =
        from[i] === to[j]
          ? common[i + 1]![j + 1]! + 1
          : Math.max(common[i + 1]![j]!, common[i]![j + 1]!)
    }
  }
  const out: Step[] = []
  let i = 0
  let j = 0
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      out.push([' ', from[i++]!])
      j++
    } else if (i < from.length && (j === to.length || common[i + 1]![j]! >= common[i]![j + 1]!)) {
      out.push(['-', from[i++]!])
    } else out.push(['+', to[j++]!])
  }
  return out
}

/** A unified diff, or '' if the texts are equal. `name` is the title of both sides. */
export const unifiedDiff = (name: string, from: string, to: string): string => {
  if (from === to) return ''
  const all = steps(linesOf(from), linesOf(to))
  const near = all.map((_, i) =>
    all.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(([mark]) => mark !== ' '),
  )
  const out = [`--- ${name}`, `+++ ${name}`]
  let before = 1
  let after = 1
  for (let i = 0; i < all.length;) {
    if (!near[i]) {
      before++
      after++
      i++
      continue
    }
    let end = i
    while (end < all.length && near[end]) end++
    const hunk = all.slice(i, end)
    const old = hunk.filter(([mark]) => mark !== '+').length
    const fresh = hunk.filter(([mark]) => mark !== '-').length
    // In the diff format, an empty side begins before the first line.
    out.push(`@@ -${old ? before : before - 1},${old} +${fresh ? after : after - 1},${fresh} @@`)
    out.push(...hunk.map(([mark, line]) => mark + line))
    before += old
    after += fresh
    i = end
  }
  return `${out.join('\n')}\n`
}
