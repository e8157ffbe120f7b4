"""How demand is forecast: by the row's own weeks, six weeks ahead of the one that is running."""

from include.systems.forecast.declared import Forecast

LOCAL = Forecast(
    of="history",
    period="week",
    quantity="quantity",
    every="week",
    horizon=6,
    after="this_week",
)
