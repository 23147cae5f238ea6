import type { Catalogue } from '../state/text';
import { en } from './en';
export const texts: Catalogue = { ...en };
