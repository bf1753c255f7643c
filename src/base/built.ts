/** Finds the compiled file that a worker thread runs. */
import { existsSync } from 'node:fs'

/**
 * URL of a file in the build, by its path there. When the sources run (in tests), the build beside them is
 * used.
 */
export const built = (path: string): URL => {
  const here = new URL(`../${path}`, import.meta.url)
  return existsSync(here) ? here : new URL(`../../dist/${path}`, import.meta.url)
}
