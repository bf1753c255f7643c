/**
 * What a script adds to the status page, which is whole without: the plots,
 * filters for long tables, and fresh values without loading the page again.
 */
import { drawPlots } from './plots.ts'
import type { History } from '../history.ts'

/** As often as the daemon takes a sample. */
const EVERY_MS = 5_000

/** Shows of each filtered table the rows that hold the words of its filter. */
const applyFilters = (): void => {
  for (const input of document.querySelectorAll<HTMLInputElement>('input[data-filter]')) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean)
    const rows = document.querySelectorAll<HTMLTableRowElement>(
      `#${input.dataset['filter']} tbody tr`,
    )
    for (const row of rows) {
      const text = row.textContent?.toLowerCase() ?? ''
      row.hidden = !words.every(word => text.includes(word))
    }
  }
}

/** Puts the parts of a fresh page that carry `data-live` in place of those shown, and keeps what was typed. */
const replaceParts = (text: string): void => {
  const fresh = new DOMParser().parseFromString(text, 'text/html')
  const focused = document.activeElement?.id
  for (const { id, value } of document.querySelectorAll('input'))
    fresh.querySelector<HTMLInputElement>(`#${id}`)?.setAttribute('value', value)
  for (const part of document.querySelectorAll('[data-live]')) {
    const now = fresh.getElementById(part.id)
    if (now) part.replaceWith(document.adoptNode(now))
  }
  document.title = fresh.title
  const field = focused ? document.getElementById(focused) : null
  if (field instanceof HTMLInputElement) {
    field.focus()
    field.setSelectionRange(field.value.length, field.value.length)
  }
  applyFilters()
}

const textOf = async (path: string): Promise<string> => {
  const response = await fetch(path, { signal: AbortSignal.timeout(EVERY_MS) })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response.text()
}

const refresh = async (): Promise<void> => {
  try {
    replaceParts(await textOf('/'))
    drawPlots(JSON.parse(await textOf('/v1/history')) as History)
    document.body.classList.remove('lost')
  } catch {
    // The daemon may be restarting. The page says that what it shows is old.
    document.body.classList.add('lost')
  }
}

document.body.classList.add('live')
document.addEventListener('input', applyFilters)
addEventListener('resize', () => void refresh())
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void refresh())
void refresh()
setInterval(() => {
  if (document.visibilityState === 'visible') void refresh()
}, EVERY_MS)
