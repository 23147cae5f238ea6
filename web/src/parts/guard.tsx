// A view that breaks says so, and takes nothing else down.
import { Component, type ComponentChildren } from 'preact';
import { t } from '../state/text';
import { Button } from './ui';

/** Another place is another try. */
type Props = { place?: string; children: ComponentChildren };

export class Guard extends Component<Props, { error?: Error; place?: string | undefined }> {
  override componentDidCatch(error: Error) {
    this.setState({ error, place: this.props.place });
  }

  override render() {
    if (!this.state.error || this.state.place !== this.props.place) return this.props.children;
    return (
      <div class="card" role="alert">
        <h1>{t('broken')}</h1>
        <pre>{String(this.state.error)}</pre>
        <Button kind="main" onClick={() => location.reload()}>
          {t('reload')}
        </Button>
      </div>
    );
  }
}
