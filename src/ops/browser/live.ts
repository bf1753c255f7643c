/**
 * The script of the status page, which also works without it. It adds plots, filters for long tables, and updates
 * without reloading.
 */
import { drawPlots } from './plots.ts'
import type { History } from '../history.ts'

/** The interval of the daemon's samples. */
const EVERY_MS = 5_000

/** Shows only the rows of each table that contain the words of its filter. */
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

/** Replaces the parts with `data-live` by those of a new page, and keeps what was typed. */
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
    // The daemon may be restarting; the page shows that its data is old.
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
