// Every text of the dashboard, in English. The other catalogues have the same keys; the types hold them to it.
import { house } from './en/house';
import { numbers } from './en/numbers';
import { talk } from './en/talk';
import { traffic } from './en/traffic';

export const en = { ...numbers, ...traffic, ...talk, ...house };
