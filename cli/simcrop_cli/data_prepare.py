"""simcrop data prepare"""

from simcrop_cli.options import Config, Overrides


def prepare(config: Config, overrides: Overrides = None) -> None:
    """Resample every volume of a run onto the model's grid once; `simcrop train` does it too where it is missing.

    Example: simcrop data prepare configs/own_hospital.yaml
    """
    from simcrop import compose
    from simcrop.adapters.settings import load_config

    settings = load_config(config, overrides or [])
    compose.prepare_data(settings)
    print(f"{settings.data.prepared}: ready for simcrop train {config}")
