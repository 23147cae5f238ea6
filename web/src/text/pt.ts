import type { Catalogue } from '../state/text';
import { house } from './pt/house';
import { numbers } from './pt/numbers';
import { talk } from './pt/talk';
import { traffic } from './pt/traffic';

export const texts: Catalogue = { ...numbers, ...traffic, ...talk, ...house };
