/**
 * Finds the known word nearest to a mistyped one, for "did you mean". The distance is the number of letters
 * inserted, deleted, changed or swapped with a neighbour. Case, '_' and '-' are ignored, so that older
 * spellings (forward_zones) match ours (forwardZones).
 */

/** Longer words are not typing errors, and computing the distance takes quadratic time. */
const MAX_WORD = 64

const folded = (word: string): string => word.toLowerCase().replace(/[-_]/g, '')

/** Optimal string alignment distance of two short words. */
export const editDistance = (a: string, b: string): number => {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, before[j - 2]! + 1)
      row.push(best)
    }
    before = last
    last = row
  }
  return last[b.length]!
}

/** The nearest of `words` within a third of its length (at least one letter), or undefined. */
export const nearest = (word: string, words: readonly string[]): string | undefined => {
  if (word.length > MAX_WORD) return undefined
  const asked = folded(word)
  let found: string | undefined
  let least = Infinity
  for (const candidate of words) {
    const to = folded(candidate)
    const distance = editDistance(asked, to)
    if (distance < least && distance <= Math.max(1, Math.floor(to.length / 3))) {
      found = candidate
      least = distance
    }
  }
  return found
}
