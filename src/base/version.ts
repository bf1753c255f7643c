/** The version, in one place: package.json's, read when the program starts. */
import { readFileSync } from 'node:fs'

export const version = (): string =>
  (
    JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
  ).version
