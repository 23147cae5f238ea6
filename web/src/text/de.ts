import type { Catalogue } from '../state/text';
import { house } from './de/house';
import { numbers } from './de/numbers';
import { talk } from './de/talk';
import { traffic } from './de/traffic';

export const texts: Catalogue = { ...numbers, ...traffic, ...talk, ...house };
